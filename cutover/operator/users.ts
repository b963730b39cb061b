/**
 * What an operator does to one user, under the authority as a member of the system would. Without a lease it is enough to
 * look twice: an announcement of any change is a write of the authority's own control record, so one that is the same after
 * the write had come to no fence before it. If it is not the same the outcome is unknown; both verbs may be run again.
 */
import { StaleWrite, StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import { readControl } from '../control.ts';
import { mirrorOf, otherStore } from '../mode.ts';
import { logEvent } from './events.ts';
import { attempt, readStanding, type Standing } from './situation.ts';
import type { EraseResult, OperatorContext, UserActionResult } from './types.ts';
import { NOTES } from './types.ts';
import { STORE_NAMES } from './words.ts';

interface Target {
  readonly userId: string;
}

/** Ends every session of the user, and every reset token. */
export async function endSessions(context: OperatorContext, { userId }: Target): Promise<UserActionResult> {
  const standing = await readStanding(context);
  const now = context.environment.date();
  const result = await underAuthority(standing, (repository) => repository.endSessions({ userId, now }));
  if (result.kind === 'done' || result.kind === 'unknown') {
    await logEvent(context, standing.authority, 'sessions-ended', standing.record, {
      userId,
      result: result.kind,
    });
  }
  return result;
}

/** Erases the user down to a tombstone, and what is kept of it aside: moved records and notes, in both stores. */
export async function eraseUser(context: OperatorContext, { userId }: Target): Promise<EraseResult> {
  const standing = await readStanding(context);
  const { authority, other, record, situation } = standing;
  const now = context.environment.date();
  const result = await underAuthority(standing, (repository) =>
    repository.eraseUser({ userId, sessionGeneration: null, now }),
  );
  if (result.kind === 'refused') return { ...result, leftoversRemoved: 0 };
  const stores = [authority, other].filter((store) => store !== null);
  let leftoversRemoved = 0;
  for (const store of stores) leftoversRemoved += await eraseLeftovers(store, userId);

  const reasons = [...result.reasons];
  const otherName = STORE_NAMES[otherStore(authority.name)];
  const isConfigured = situation.readings[otherStore(authority.name)].store !== null;
  if (isConfigured && other === null) {
    reasons.push(`${otherName} does not answer: run it again when it does, for what is kept aside there`);
  }
  if (mirrorOf(record.mode) === null && record.copy.kind !== 'none') {
    reasons.push(`${otherName} keeps its copy of the user until it is mirrored or copied again, or deleted`);
  }
  await logEvent(context, authority, 'user-erased', record, {
    userId,
    result: result.kind,
    leftoversRemoved,
  });
  return { kind: result.kind, reasons, leftoversRemoved };
}

async function underAuthority(
  { authority, record, situation }: Standing,
  write: (repository: Repository) => Promise<'done' | 'gone' | 'changed'>,
): Promise<UserActionResult> {
  if (record.transition !== null || situation.unfinished !== null) {
    return { kind: 'refused', reasons: ['a change of authority is under way: try again when it has ended'] };
  }
  const unknown = (why: string): UserActionResult => ({
    kind: 'unknown',
    reasons: [`${why}: the outcome is not known; run it again`],
  });
  let result: 'done' | 'gone' | 'changed';
  try {
    result = await write(authority.at({ epoch: record.epoch, pending: mirrorOf(record.mode) !== null }));
  } catch (error) {
    if (error instanceof StaleWrite) return unknown('authority moved meanwhile');
    if (error instanceof StoreUnavailable && error.outcome === 'unknown') return unknown(error.message);
    throw error;
  }
  const after = await readControl(authority).catch((error: unknown) => {
    if (error instanceof StoreUnavailable) return null;
    throw error;
  });
  if (after?.epoch !== record.epoch || after.revision !== record.revision) {
    return unknown('the control record changed meanwhile');
  }
  if (result === 'changed') return unknown('the user changed meanwhile');
  return { kind: result, reasons: result === 'gone' ? ['there is no such living user'] : [] };
}

const KINDS = [NOTES.poison, NOTES.conflict, NOTES.difference, NOTES.foreign, NOTES.quarantine];

async function eraseLeftovers(store: Store, userId: string): Promise<number> {
  const asides = await attempt(() => store.replica.eraseAsides(userId));
  let count = asides ?? 0;
  for (const kind of KINDS) {
    if ((await attempt(() => store.books.deleteNote(kind, `user/${userId}`))) === true) count += 1;
  }
  return count;
}
