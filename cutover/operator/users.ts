/**
 * What an operator does to one user, under the authority as a member of the system would. Without a lease it is enough to
 * look twice: an announcement of any change is a write of the authority's own control record, so one that is the same after
 * the write had come to no fence before it. If it is not the same the outcome is unknown; both verbs may be run again.
 */
import { StaleWrite, StoreUnavailable } from '../../db/errors.ts';
import { decodeId } from '../../db/ids.ts';
import { isNameless } from '../../db/mongo/copy/raw-document.ts';
import type { Repository, Store } from '../../db/port.ts';
import { WrongArgument } from '../argument.ts';
import { readControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { mirrorOf, otherStore } from '../mode.ts';
import { NOTES } from '../notes.ts';
import { STORE_NAMES } from '../words.ts';
import { attempt, readStanding, type Standing, summarize } from './situation.ts';
import type { EraseResult, OperatorContext, UserActionResult, UserWrite } from './types.ts';

interface Target {
  readonly userId: string;
}

/** Ends every session of the user, and every reset token. Throws `WrongArgument` for what is the id of no document. */
export async function endSessions(context: OperatorContext, { userId }: Target): Promise<UserActionResult> {
  assertId(userId);
  return betweenStates(context, (standing) => endAll(context, standing, userId));
}

async function endAll(context: OperatorContext, standing: Standing, userId: string): Promise<UserWrite> {
  const now = context.environment.date();
  const result = await underAuthority(standing, (repository) => repository.endSessions({ userId, now }));
  if (result.kind === 'refused') await logRefusal(context, standing, 'sessions end', result);
  if (result.kind === 'done' || result.kind === 'unknown') {
    const details = { ...shown(userId), result: result.kind };
    await logEvent(context, standing.authority, 'sessions-ended', standing.record, details);
  }
  return { ...result, reasons: [...result.reasons, ...hintsFor(userId, result)] };
}

/**
 * Erases the user down to a tombstone, and what is kept of it aside, notes included, in both stores. Throws `WrongArgument` for
 * what is the id of no document.
 */
export async function eraseUser(context: OperatorContext, { userId }: Target): Promise<EraseResult> {
  assertId(userId);
  return betweenStates(context, (standing) => erase(context, standing, userId));
}

async function erase(
  context: OperatorContext,
  standing: Standing,
  userId: string,
): Promise<UserWrite & Pick<EraseResult, 'leftoversRemoved'>> {
  const { authority, record, situation } = standing;
  const now = context.environment.date();
  const result = await underAuthority(standing, (repository) =>
    repository.eraseUser({ userId, sessionGeneration: null, now }),
  );
  if (result.kind === 'refused') {
    await logRefusal(context, standing, 'users erase', result);
    return { ...result, leftoversRemoved: 0 };
  }
  const reasons = [...result.reasons, ...hintsFor(userId, result)];
  let { kind } = result;
  let leftoversRemoved = 0;
  const otherName = otherStore(authority.name);
  // What is kept aside there goes, whatever its control record says.
  const { store: configured, reachable } = situation.readings[otherName];
  const other = reachable ? configured : null;
  for (const store of [authority, other].filter((each) => each !== null)) {
    const { removed, isAll } = await eraseLeftovers(store, userId);
    leftoversRemoved += removed;
    if (isAll) continue;
    kind = 'unknown';
    const name = STORE_NAMES[store.name];
    reasons.push(
      (await attempt(() => store.isMigrated())) === false
        ? `the schema of ${name} is behind: \`npm run migrate\`, and run it again`
        : `${name} may still keep something of the user aside: run it again`,
    );
  }
  if (configured !== null && other === null) {
    // A store that the mode does without may be gone for good.
    if (mirrorOf(record.mode) !== null) kind = 'unknown';
    const why = 'does not answer: run it again when it does, for what is kept aside there';
    reasons.push(`${STORE_NAMES[otherName]} ${why}`);
  }
  if (authority.name === 'postgres' && other !== null && (await holdsUncopied(authority, other, userId))) {
    const what = `a document of this id that ${STORE_NAMES.postgres} never took`;
    reasons.push(`${STORE_NAMES[otherName]} holds ${what}: delete it there`);
  }
  if (mirrorOf(record.mode) === null && record.copy.kind !== 'none') {
    reasons.push(
      `${STORE_NAMES[otherName]} keeps its copy of the user until it is mirrored or copied again, or deleted`,
    );
  }
  if (result.kind !== 'gone' || leftoversRemoved > 0) {
    const details = { ...shown(userId), result: kind, leftoversRemoved };
    await logEvent(context, authority, 'user-erased', record, details);
  }
  return { kind, reasons, leftoversRemoved };
}

async function betweenStates<T extends UserWrite>(
  context: OperatorContext,
  write: (standing: Standing) => Promise<T>,
): Promise<T & UserActionResult> {
  const standing = await readStanding(context);
  const before = await summarize(context, standing);
  const result = await write(standing);
  const after = await attempt(async () => summarize(context, await readStanding(context)));
  return { ...result, before, after };
}

function assertId(userId: string): void {
  if (decodeId(userId) !== undefined) return;
  throw new WrongArgument(
    isNameless(userId)
      ? 'this stands for a document of MongoDB that nobody can ask for by its _id: delete it there, then `cutover quarantine drop` what is kept of it'
      : 'no document has such an id',
  );
}

/** The log is for ever: what was typed in place of an id, and may be an address, does not go into it. */
function shown(userId: string): { readonly userId?: string } {
  return userId.includes('@') ? {} : { userId };
}

function hintsFor(userId: string, { kind }: UserWrite): readonly string[] {
  return kind === 'gone' && userId.includes('@') ? ['it asks for the id of a user, not for an address'] : [];
}

async function logRefusal(
  context: OperatorContext,
  { authority, record }: Standing,
  verb: string,
  { reasons }: UserWrite,
): Promise<void> {
  await logEvent(context, authority, 'refused', record, { verb, reason: reasons.join('; ') });
}

async function underAuthority(
  { authority, record, situation }: Standing,
  write: (repository: Repository) => Promise<'done' | 'gone' | 'changed'>,
): Promise<UserWrite> {
  if (record.transition !== null || situation.unfinished !== null) {
    return { kind: 'refused', reasons: ['a change of authority is under way: try again when it has ended'] };
  }
  const unknown = (why: string): UserWrite => ({
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

/** Whether there is a user whom a copy left behind. No tombstone of the authority's will ever come to it. */
async function holdsUncopied(authority: Store, other: Store, userId: string): Promise<boolean> {
  const held = await attempt(() => authority.replica.read('user', [userId]));
  const left = await attempt(() => other.replica.read('user', [userId]));
  if (held === null || left === null || held.found.has(userId)) return false;
  return left.found.has(userId) || left.unreadable.includes(userId);
}

const KINDS = [NOTES.poison, NOTES.conflict, NOTES.difference, NOTES.foreign, NOTES.quarantine];

async function eraseLeftovers(store: Store, userId: string) {
  const asides = await attempt(() => store.replica.forgetKept([userId]));
  const notes: (boolean | null)[] = [];
  for (const kind of KINDS) notes.push(await attempt(() => store.books.deleteNote(kind, `user/${userId}`)));
  return {
    removed: (asides ?? 0) + notes.filter((deleted) => deleted === true).length,
    /** Whether nothing is left. */
    isAll: asides !== null && !notes.includes(null),
  };
}
