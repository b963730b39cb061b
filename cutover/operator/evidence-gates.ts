/**
 * The gates that an operator can override with a reason: comparisons, mismatches, a verify or snapshot that is old or
 * missing, soak. A verify that found differences, or a snapshot that failed, is no lack of evidence, and cannot be.
 */
import { copyRun } from '../mode.ts';
import { DEFAULT_SETTINGS, type Settings } from '../settings.ts';
import { duration } from '../words.ts';
import type { GateFacts } from './gates.ts';
import type { Gate } from './types.ts';

export const CLI = 'npx --no cutover';
/** How far the clocks of two machines may be apart before one of them is taken for wrong. */
const CLOCKS_MS = 10_000;

export function evidenceGates(facts: GateFacts, settings: Settings): readonly Gate[] {
  const { shadow, nowMs } = facts;
  const least = settings['gate-primary-comparisons'];
  const most = settings['gate-primary-mismatches'];
  const window = duration(shadow.windowMs);
  return [
    {
      name: 'comparisons',
      ok: shadow.compared >= least,
      found: `${shadow.compared} in the last ${window}`,
      required: `at least ${least} in the last ${window}, under this epoch`,
      remedy: whyNotCompared(settings) ?? `let traffic flow, or raise shadow-sample and shadow-rate`,
      kind: 'evidence',
    },
    {
      name: 'mismatches',
      ok: shadow.mismatches <= most,
      found: `${shadow.mismatches} in the last ${window}`,
      required: `at most ${most}`,
      remedy: `${CLI} diffs names them; explain them with shadow-ignore, or repair them`,
      kind: 'evidence',
    },
    bulkGate('verify', facts, settings['gate-verify-age-ms'], nowMs),
    bulkGate('snapshot', facts, settings['gate-snapshot-age-ms'], nowMs),
  ];
}

/** What to set so that comparisons count at all; null: they do. */
function whyNotCompared(settings: Settings): string | null {
  if (settings['shadow-baseline']) {
    return `${CLI} set shadow-baseline false: of the authority with itself none counts`;
  }
  const off = (['shadow-sample', 'shadow-rate'] as const).find((key) => settings[key] === 0);
  return off === undefined
    ? null
    : `${CLI} set ${off} ${DEFAULT_SETTINGS[off]}: it is 0, so that none is made`;
}

/**
 * A clean verify, a snapshot. Where both stores began empty and nothing was ever copied in bulk, there is no history that
 * either could have missed: all there is came through the mirror, and comparisons judge that.
 */
function bulkGate(name: 'verify' | 'snapshot', facts: GateFacts, ageMaxMs: number, nowMs: number): Gate {
  const { evidence, record, verbs } = facts;
  const last = evidence[name];
  const copy = copyRun(record.copy) ?? evidence.backfill?.run ?? null;
  const isOfThisCopy = last !== null && last.copy !== null && last.copy === copy;
  const startedEmpty =
    record.copy.kind === 'complete' && record.copy.run === 'started-empty' && evidence.backfill === null;
  const gate = {
    name,
    required: `${name === 'verify' ? 'a clean verify' : 'a snapshot'} since the last copy, no older than ${duration(ageMaxMs)}`,
    remedy: verb(name === 'verify' ? 'verify --full' : 'snapshot create', verbs[name]),
  };
  // An old or missing look is a lack of evidence; one that found differences is evidence against the move.
  if (isOfThisCopy && !last.clean) {
    const what = name === 'verify' ? 'found differences' : 'failed';
    return { ...gate, ok: false, found: `the last one ${what}`, kind: 'safety' };
  }
  if (!isOfThisCopy) {
    const found = startedEmpty ? 'not needed: both stores started empty' : 'none since the last copy';
    return { ...gate, ok: startedEmpty, found, kind: 'evidence' };
  }
  const ageMs = nowMs - last.atMs;
  const isFuture = ageMs < -CLOCKS_MS;
  return {
    ...gate,
    ok: startedEmpty || (ageMs <= ageMaxMs && !isFuture),
    found: isFuture ? `from the future, by ${duration(-ageMs)}` : `${duration(Math.max(0, ageMs))} old`,
    kind: 'evidence',
  };
}

export function soakGate({ soak, nowMs }: GateFacts, settings: Settings): Gate {
  const wantedMs = settings['gate-only-soak-ms'];
  const { sinceMs, trouble } = soak;
  const quietSinceMs = sinceMs === null ? null : Math.max(sinceMs, trouble?.atMs ?? 0);
  const quietMs = quietSinceMs === null ? null : Math.max(0, nowMs - quietSinceMs);
  const why =
    trouble !== null && trouble.atMs === quietSinceMs
      ? `since ${trouble.what}`
      : 'since the mode was entered';
  return {
    name: 'soak',
    ok: wantedMs === 0 || (quietMs !== null && quietMs >= wantedMs),
    found: quietMs === null ? 'not known since when' : `${duration(quietMs)} ${why}`,
    required: `${duration(wantedMs)} without a fallback, a conflict or an instance that lost its lease`,
    remedy: 'wait',
    kind: 'evidence',
  };
}

export function verb(command: string, exists: boolean): string {
  return `${CLI} ${command}${exists ? '' : ' (not available yet)'}`;
}
