/** Measures what the gates judge. Only reads; what a store does not tell counts as not known. */
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Json, Note } from '../../db/replica.ts';
import { parseWatch, unwatchedSince } from '../foreign/watch-state.ts';
import { hasLeft } from '../history.ts';
import { mirrorOf } from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { type Settings, settingsOf } from '../settings.ts';
import { sumWindow } from '../shadow/window.ts';
import type { Evidence, GateFacts, StoreFacts } from './gates.ts';
import { attempt, backlogOf, isDeposed, type Situation, type Standing } from './situation.ts';
import { readStay } from './stay.ts';
import type { ForeignStatus, InstanceStatus, OperatorContext, ShadowStatus } from './types.ts';

/** Bulk verbs that this version has. */
const BULK_VERBS: GateFacts['verbs'] = { backfill: true, verify: true, snapshot: true };

const NOTES_MAX = 10_000;

export interface Watched {
  readonly instances: readonly InstanceStatus[];
  readonly noForeignWriters: boolean;
}

export async function readFacts(
  context: OperatorContext,
  standing: Standing,
  { instances, noForeignWriters }: Watched,
): Promise<GateFacts> {
  const { situation, record, authority, other } = standing;
  const nowMs = context.environment.date().getTime();
  const settings = settingsOf(record);
  const [mongo, postgres, isReplaced, pending, orphans, notes, foreign, shadow, evidence, soak] =
    await Promise.all([
      storeFacts(situation, 'mongo'),
      storeFacts(situation, 'postgres'),
      attempt(() => hasLeft(record, context.stores.postgres)),
      backlogOf(authority, nowMs),
      backlogOf(other, nowMs),
      countNotes(authority),
      readForeign(context, standing, nowMs),
      readShadow(authority, record, settings, nowMs),
      readEvidence([authority, other]),
      readSoak(authority, record),
    ]);
  return {
    nowMs,
    record,
    isReplaced: isReplaced === true,
    unfinished: situation.unfinished !== null,
    stores: { mongo, postgres },
    pending,
    orphans,
    notes,
    foreign,
    shadow,
    evidence,
    instances,
    soak,
    noForeignWriters,
    mapping: (context.codec ?? DEFAULT_CODEC).digest,
    verbs: BULK_VERBS,
  };
}

async function storeFacts(situation: Situation, name: StoreName): Promise<StoreFacts> {
  const { store, reachable, trouble } = situation.readings[name];
  const configured = store !== null;
  const problem = trouble?.message ?? null;
  const deposed = isDeposed(situation, name);
  if (store === null || !reachable)
    return { configured, reachable: false, refusal: null, problem, migrated: null, deposed };
  const refusal = await store.ping().then(
    () => null,
    (error: unknown) => (error instanceof StoreUnavailable ? error.reason : 'connect'),
  );
  // Its schema can be read where it cannot be written.
  const migrated = await attempt(() => store.isMigrated());
  return { configured, reachable: refusal === null, refusal, problem, migrated, deposed };
}

async function countNotes(store: Store): Promise<GateFacts['notes']> {
  const counts = await attempt(() => store.books.countNotes());
  if (counts === null) return { poison: null, conflict: null, quarantine: null };
  return {
    poison: counts[NOTES.poison] ?? 0,
    conflict: counts[NOTES.conflict] ?? 0,
    quarantine: counts[NOTES.quarantine] ?? 0,
  };
}

/** The watch is kept in MongoDB, what it found in the books of whoever had authority then. */
async function readForeign(
  { stores }: OperatorContext,
  { authority, other, record }: Standing,
  nowMs: number,
): Promise<ForeignStatus> {
  const counts = await attempt(() => authority.books.countNotes());
  const before = other === null ? null : await attempt(() => other.books.countNotes());
  const open = counts === null ? null : (counts[NOTES.foreign] ?? 0) + (before?.[NOTES.foreign] ?? 0);
  const feed = stores.mongo?.changes ?? null;
  const nothing = { open, unwatchedSinceMs: null, why: null };
  if (feed === null || mirrorOf(record.mode) === null) return { ...nothing, watch: 'none' };
  const entry = await attempt(async () => ({ watch: await feed.readWatch() }));
  if (entry === null) return { ...nothing, watch: 'unknown' };
  const watch = parseWatch(entry.watch);
  if (watch === null) return { ...nothing, watch: 'none' };
  if (watch.unsupported !== null) return { ...nothing, watch: 'unsupported', why: watch.unsupported };
  const verifiedMs = record.copy.kind === 'complete' ? record.copy.verifiedAtMs : null;
  const unwatchedSinceMs = unwatchedSince(watch, verifiedMs, nowMs);
  return {
    open,
    watch: 'watching',
    unwatchedSinceMs,
    why: unwatchedSinceMs === null ? null : (watch.gap?.why ?? null),
  };
}

/** Comparisons of this epoch, and of this very copy, in the window that the gates ask about. */
async function readShadow(
  store: Store,
  { epoch, copy }: ControlRecord,
  settings: Settings,
  nowMs: number,
): Promise<ShadowStatus> {
  const windowMs = settings['gate-primary-window-ms'];
  const notes = (await notesOf(store, NOTES.shadowWindow)) ?? [];
  const run = copy.kind === 'complete' ? { run: copy.run } : {};
  const { outcomes, compared, mismatches } = sumWindow(notes, { nowMs, windowMs, epoch, ...run });
  return { windowMs, outcomes, compared, mismatches };
}

/** Of both stores: a verify is of both, and each was the authority whose books it went into at its time. */
async function readEvidence(stores: readonly (Store | null)[]): Promise<GateFacts['evidence']> {
  const books = stores.filter((store) => store !== null);
  const notes = (await Promise.all(books.map((store) => notesOf(store, NOTES.evidence)))).flat();
  const latest = (key: string) =>
    notes
      .map((note) => (note?.key === key ? evidenceOf(note.body) : null))
      .reduce((last, each) => (each !== null && each.atMs > (last?.atMs ?? -1) ? each : last), null);
  return { verify: latest('verify'), snapshot: latest('snapshot'), backfill: latest('backfill') };
}

function evidenceOf(body: Json | undefined): Evidence | null {
  if (typeof body !== 'object' || body === null || !('atMs' in body)) return null;
  const { atMs, clean, run, copy, mapping } = body;
  if (typeof atMs !== 'number') return null;
  return {
    atMs,
    clean: clean === true,
    run: typeof run === 'string' ? run : null,
    copy: typeof copy === 'string' ? copy : null,
    mapping: typeof mapping === 'string' ? mapping : null,
  };
}

/** Since when the mode has stood, and what last disturbed it. Not known where the log or the notes cannot be read. */
async function readSoak(store: Store, record: ControlRecord): Promise<GateFacts['soak']> {
  const stay = await attempt(() => readStay(store, record));
  const { sinceMs, abortedAtMs } = stay ?? { sinceMs: null, abortedAtMs: null };
  const troubles: { readonly what: string; readonly atMs: number }[] = [];
  if (abortedAtMs !== null) {
    troubles.push({ what: 'a change of authority was aborted', atMs: abortedAtMs });
  }
  const kinds = [
    [NOTES.fallback, 'a fallback'],
    [NOTES.conflict, 'a conflict'],
    [NOTES.clash, 'a conflict'],
    [NOTES.lapse, 'an instance lost its lease'],
  ] as const;
  for (const [kind, what] of kinds) {
    const notes = await notesOf(store, kind);
    if (notes === null) return { sinceMs: null, trouble: null };
    for (const { lastAt } of notes) troubles.push({ what, atMs: lastAt.getTime() });
  }
  const trouble = troubles.reduce<(typeof troubles)[number] | null>(
    (last, each) => (last === null || each.atMs > last.atMs ? each : last),
    null,
  );
  return { sinceMs, trouble };
}

async function notesOf(store: Store, kind: string): Promise<readonly Note[] | null> {
  return attempt(() => store.books.notes(kind, { limit: NOTES_MAX }));
}
