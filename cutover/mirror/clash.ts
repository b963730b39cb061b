/**
 * A unique clash: the mirror has another user under the e-mail's key. The authority says who is right, and the clash
 * is noted there until it is resolved. Users are put in place from the end of the chain of holders.
 */
import { compareStamps } from '../../db/records.ts';
import type { Held } from '../../db/replica.ts';
import { NOTES } from '../notes.ts';
import { decideClash, nextStamp } from '../protocol/stamps.ts';
import { applyRecords, clear, isMirrored } from './apply.ts';
import { bringSessions, givesWay, leave } from './left-behind.ts';
import type { Pass } from './pass.ts';
import { keyOf } from './queue.ts';
import { AGAIN, AUTHORITY_BEHIND, DONE, LATER, LEFT, type Verdict } from './verdict.ts';

/** A longer chain is resolved from its end, for all of it is marked. */
const STEPS_MAX = 300;

type User = Held<'user'>;
type Resolution = ReturnType<typeof decideClash> | 'unreadable' | 'unresolved' | typeof AUTHORITY_BEHIND;

/** What the authority and the mirror make of one clash. */
type Way =
  /** Nothing is in the way any more, or nothing that was found. */
  | { readonly kind: 'free' }
  /** Not now. */
  | { readonly kind: 'stop' }
  /** The user as the authority has it by now; null: not there. */
  | { readonly kind: 'changed'; readonly user: User | null }
  /** The holder goes first. */
  | { readonly kind: 'first'; readonly holder: User }
  | { readonly kind: 'unresolved'; readonly resolution: Resolution; readonly doubtful: boolean };

/** `done` once the user is in place; `left` where another is, to whom an operator has given the e-mail. */
export async function resolveClash(pass: Pass, userId: string, holderId: string): Promise<Verdict> {
  const first = (await pass.authority.replica.read('user', [userId])).found.get(userId);
  if (first === undefined) return AGAIN;
  const chain: User[] = [first];
  const placed = new Set<string>();
  const doubted = new Set<string>();
  const unresolved = async (resolution: Resolution): Promise<Verdict> => {
    if ((await leave(pass, 'user', [first])).length > 0) return LEFT;
    await note(pass, first, holderId, resolution);
    return { kind: 'conflict', stamp: first.record.stamp };
  };
  let inTheWay: string | null = holderId;
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const top = chain.at(-1);
    if (top === undefined) return DONE;
    if (inTheWay === null) {
      const outcome = await put(pass, top);
      if (outcome === 'placed') {
        placed.add(top.record.id);
        chain.pop();
      } else if (outcome === 'later') {
        return LATER;
      } else if (outcome === 'other') {
        if (chain.length === 1) return AGAIN;
        await mark(pass, top);
        return unresolved('unresolved');
      } else inTheWay = outcome.holderId;
      continue;
    }
    const way: Way = await makeWay(pass, chain, top, inTheWay);
    inTheWay = null;
    switch (way.kind) {
      case 'free':
        break;
      case 'stop':
        return LATER;
      case 'changed':
        chain.pop();
        if (way.user !== null) chain.push(way.user);
        break;
      case 'first':
        // It is in place, and still holds the key: by another index than the one on keys.
        if (placed.has(way.holder.record.id)) return unresolved('unresolved');
        chain.push(way.holder);
        break;
      case 'unresolved':
        // Two records are not read at one moment: the key may have gone from one to the other in between.
        if (!way.doubtful || doubted.has(top.record.id)) return unresolved(way.resolution);
        doubted.add(top.record.id);
    }
  }
  return LATER;
}

/** Applies one user; its mark and its note go once it is in place. */
async function put(
  pass: Pass,
  user: User,
): Promise<'placed' | 'later' | 'other' | { readonly holderId: string }> {
  const [outcome] = await applyRecords(pass, 'user', [user.record]);
  if (outcome?.kind === 'clash') return { holderId: outcome.holderId };
  if (outcome === undefined || !isMirrored(outcome)) return 'other';
  if ((await bringSessions(pass, [user.record.id])).size > 0) return 'later';
  await clear(pass, 'user', [user]);
  await pass.authority.books.deleteNote(NOTES.conflict, keyOf('user', user.record.id));
  return 'placed';
}

async function makeWay(pass: Pass, chain: readonly User[], top: User, holderId: string): Promise<Way> {
  const { authority, environment } = pass;
  const { id, stamp } = top.record;
  const own = await authority.replica.read('user', [id, holderId]);
  const now = own.found.get(id) ?? null;
  if (own.unreadable.includes(id)) return { kind: 'stop' };
  if (now === null || compareStamps(now.record.stamp, stamp) !== 0) return { kind: 'changed', user: now };
  if (now.record.emailKey === null) return { kind: 'free' };
  const unreadable: Way = { kind: 'unresolved', resolution: 'unreadable', doubtful: false };
  // There, though it means nothing: not to be taken for absent.
  if (own.unreadable.includes(holderId)) return unreadable;
  const holder = own.found.get(holderId) ?? null;
  const copies = await pass.callMirror((replica) => replica.read('user', [holderId]));
  const copy = copies.found.get(holderId);
  const isUnreadable = copies.unreadable.includes(holderId);

  const begun = chain.find(({ record }) => record.id === holderId) ?? null;
  // Whom MongoDB does not have either is left behind nowhere, and nothing would take a row without its key out of PostgreSQL.
  const mayStay = holder !== null || pass.mirror.name === 'mongo';
  const isThere = copy !== undefined || isUnreadable;
  const isLeft = mayStay && isThere && (await givesWay(pass, holderId, id));
  const decision = decideClash(
    now.record.emailKey,
    holder === null ? null : { key: holder.record.emailKey },
    begun !== null,
    isLeft,
  );
  if (decision === 'corrupt') return { kind: 'unresolved', resolution: decision, doubtful: true };
  if (decision !== 'apply-holder-first' && copy === undefined) {
    if (!isUnreadable) return { kind: 'free' };
    if (!isLeft) return unreadable;
  }
  if (decision === 'move-holder-aside' && !(await pass.mayPutAway())) {
    return { kind: 'unresolved', resolution: AUTHORITY_BEHIND, doubtful: false };
  }
  // Another instance has put it in place meanwhile: nothing would give it back the key that it has got.
  if (begun !== null && copy !== undefined && compareStamps(copy.record.stamp, begun.record.stamp) >= 0) {
    return { kind: 'stop' };
  }
  const done = await pass.repair(async () => {
    if (decision === 'apply-holder-first') return true;
    const expected = copy?.record.stamp ?? null;
    if (decision === 'move-holder-aside' && expected !== null) {
      const move = { expected, reason: 'clash', now: environment.date() };
      return pass.callMirror((replica) => replica.moveAside('user', holderId, move));
    }
    // Left behind in MongoDB: it stays, without the key. Or older than what the chain has of it, which is marked as long as
    // the mirror has not got it.
    return pass.callMirror((replica) => replica.releaseEmailKey(holderId, { expected }));
  });
  if (done === null) return { kind: 'stop' };
  // Something else of it is in the way, or it is being changed.
  if (!done && isUnreadable) return unreadable;
  await note(pass, now, holderId, decision);
  return decision === 'apply-holder-first' && holder !== null ? { kind: 'first', holder } : { kind: 'free' };
}

/** So that it is seen to by itself. */
async function mark(pass: Pass, { record: { id, stamp }, pendingAt }: User): Promise<void> {
  if (pendingAt !== null) return;
  const to = nextStamp(stamp, pass.epoch);
  await pass.repair(() => pass.authority.replica.touch('user', id, { expected: stamp, to }));
}

async function note(pass: Pass, user: User, holderId: string, resolution: Resolution): Promise<void> {
  const { id, stamp } = user.record;
  const { telemetry, mirror, authority, environment } = pass;
  const { books } = authority;
  const date = environment.date();
  // This one stays once the clash is resolved: the gate to `postgres-only` asks for a time without any.
  await books.putNote(NOTES.clash, date.toISOString().slice(0, 13), {}, date);
  await books.putNote(NOTES.conflict, keyOf('user', id), { holderId, resolution, stamp: { ...stamp } }, date);
  telemetry.count('cutover_mirror_conflicts_total', { store: mirror.name, resolution });
  telemetry.warn({ entity: 'user', id, holderId, resolution }, 'mirror: another user holds the key');
}
