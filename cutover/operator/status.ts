import { STORES, type StoreName } from '../../db/errors.ts';
import { missingControl, RestoredStore, UnreadableControl } from '../control.ts';
import {
  authorityOf,
  isAuthorityBehind,
  type Mode,
  mirrorOf,
  moveBetween,
  neighbour,
  otherStore,
  rollbackIsLossless,
} from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { ignoredSettings, settingsOf, timingOf } from '../settings.ts';
import { troubleOf } from '../words.ts';
import { AuthorityUnknown } from './errors.ts';
import { readFacts } from './facts.ts';
import { failingGates, type GateFacts, gatesFor, mayPass } from './gates.ts';
import { instancesOf, watchInstances } from './instances.ts';
import { attempt, readSituation, type Situation, type Standing, stand, withoutRecord } from './situation.ts';
import type { Gate, NextMove, OperatorContext, Status, StoreStatus } from './types.ts';

const UNKNOWN = { count: null, oldestAgeMs: null };

/**
 * Everything there is to see. Never writes. Tolerates a store out of reach, the authority too: what only that knows is
 * then null, and nothing is allowed. `watchMs`: how long instances are watched to see which are alive, or two of their
 * heartbeats where those take longer; 0: they are not.
 */
export async function readStatus(
  context: OperatorContext,
  { watchMs }: { readonly watchMs: number },
): Promise<Status> {
  const situation = await readSituation(context);
  const { record } = situation;
  if (record === null) throw withoutRecord(situation);
  const standing = tryToStand(situation);
  const common = {
    mode: record.mode,
    configuredMode: context.configuredMode ?? null,
    storeTimeoutMs: context.storeTimeoutMs ?? null,
    epoch: record.epoch,
    revision: record.revision,
    authority: authorityOf(record.mode),
    mirror: mirrorOf(record.mode),
    transition: record.transition,
    copy: record.copy,
    stores: await Promise.all(STORES.map((name) => storeStatus(situation, record, name))),
    settings: settingsOf(record),
    ignoredSettings: ignoredSettings(record),
  };
  if (typeof standing === 'string') return { ...common, ...blind(record, standing) };
  const timing = timingOf(common.settings);
  const watching = await watchInstances(context.environment, standing.authority, {
    watchMs: watchMs === 0 ? 0 : Math.max(watchMs, 2 * timing.heartbeatMs),
    timing,
  });
  const instances = instancesOf(watching, record);
  const facts = await readFacts(context, standing, { instances, noForeignWriters: false });
  const counts = await attempt(() => standing.authority.books.countNotes());
  const next = nextMoves(record.mode, facts);
  return {
    ...common,
    instances,
    pending: facts.pending,
    orphans: facts.orphans,
    poisoned: facts.notes.poison,
    conflicts: facts.notes.conflict,
    differences: counts === null ? null : (counts[NOTES.difference] ?? 0),
    foreign: facts.foreign,
    shadow: { outcomes: {}, ...facts.shadow },
    next,
    rollback: rollbackOf(record, facts, next),
  };
}

/** Or why nothing can be done in it. */
function tryToStand(situation: Situation): Standing | string {
  try {
    return stand(situation);
  } catch (error) {
    if (error instanceof AuthorityUnknown || error instanceof UnreadableControl) return error.message;
    throw error;
  }
}

/** What is left to say while nobody speaks for the authority. */
function blind(record: ControlRecord, why: string) {
  const windowMs = settingsOf(record)['gate-primary-window-ms'];
  const to = neighbour(record.mode, 'rollback');
  return {
    instances: [],
    pending: UNKNOWN,
    orphans: UNKNOWN,
    poisoned: null,
    conflicts: null,
    differences: null,
    foreign: { open: null, watch: 'unknown', unwatchedSinceMs: null, why: null } as const,
    shadow: { windowMs, outcomes: {}, compared: 0, mismatches: 0 },
    next: [],
    rollback: { to, lossless: false, why },
  };
}

async function storeStatus(
  situation: Situation,
  { mode }: ControlRecord,
  name: StoreName,
): Promise<StoreStatus> {
  const { store, reachable, record: own, trouble } = situation.readings[name];
  const role = authorityOf(mode) === name ? 'authority' : mirrorOf(mode) === name ? 'mirror' : 'unused';
  const server = store === null || !reachable ? null : await attempt(() => store.describe());
  const control = own === null ? null : { mode: own.mode, epoch: own.epoch, revision: own.revision };
  const stands = role === 'mirror' && trouble instanceof RestoredStore ? ': nothing is mirrored to it' : '';
  // Of no matter elsewhere: instances leave a copy there.
  const lost = role === 'authority' && reachable && own === null ? missingControl(name) : null;
  const told = trouble ?? lost;
  const problem = told === null ? null : `${told.message}${stands}`;
  return { name, configured: store !== null, reachable, role, server, control, problem };
}

/** The neighbouring modes and what each asks for. */
function nextMoves(mode: Mode, facts: GateFacts): readonly NextMove[] {
  return (['promote', 'rollback'] as const).flatMap((direction) => {
    const to = neighbour(mode, direction);
    const move = to === null ? null : moveBetween(mode, to);
    if (to === null || move === null) return [];
    const gates = gatesFor(move, facts, settingsOf(facts.record));
    return [{ direction, to, gates, allowed: failingGates(gates, false).length === 0 }];
  });
}

/** Whether going one rung back now would lose anything that was acknowledged. */
function rollbackOf(record: ControlRecord, facts: GateFacts, next: readonly NextMove[]): Status['rollback'] {
  const { mode, copy } = record;
  const to = neighbour(mode, 'rollback');
  if (to === null) return { to, lossless: true, why: 'this is the first mode' };
  const gates = next.find(({ direction }) => direction === 'rollback')?.gates ?? [];
  const { lossless, why } = judgeRollback(record, facts, gates);
  if (!lossless || mode !== 'postgres-primary') return { to, lossless, why };
  return { to, lossless, why: copy.kind === 'complete' ? `${why}; the copy is complete` : why };
}

function judgeRollback({ mode, copy }: ControlRecord, facts: GateFacts, gates: readonly Gate[]) {
  if (authorityOf(mode) === 'mongo') {
    return { lossless: true, why: 'MongoDB has had authority all along' };
  }
  if (mirrorOf(mode) === null) {
    const why = 'PostgreSQL keeps authority; further back only after a reverse backfill';
    return { lossless: true, why };
  }
  if (isAuthorityBehind(copy)) {
    const why =
      'PostgreSQL was replaced by a server that may lack what MongoDB has: cutover log says what to do';
    return { lossless: false, why };
  }
  if (!rollbackIsLossless(mode, copy)) {
    return {
      lossless: false,
      why: 'MongoDB lacks what was written without a mirror: it takes a reverse backfill',
    };
  }
  const mirror = otherStore('postgres');
  if (!facts.stores[mirror].reachable) {
    const { refusal = null } = facts.stores[mirror];
    const trouble = refusal === null ? 'does not answer' : troubleOf(refusal);
    return { lossless: false, why: `MongoDB ${trouble}: it cannot take authority now` };
  }
  const { count } = facts.pending;
  if (count === null) return { lossless: false, why: 'it is not known what is pending' };
  const failing = failingGates(gates, true);
  if (failing.length > 0 && !mayPass(failing)) {
    const found = failing.map((gate) => `${gate.name}: ${gate.found}`).join('; ');
    return { lossless: false, why: `it would be refused now (${found})` };
  }
  return {
    lossless: true,
    why:
      count === 0
        ? 'nothing is pending'
        : `${count} pending are drained behind the fence before authority moves`,
  };
}
