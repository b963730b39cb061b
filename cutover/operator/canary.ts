/**
 * The canary: a record that must go from the authority into the mirror, be written there as an authority writes, and come
 * back, before authority may move there. It proves the way back on the stores themselves, by the statements that the
 * reverse mirror will use, while nothing depends on it yet: the authority takes the mirror's newer state under its own
 * epoch, as it will take that of its successor.
 *
 * It is a verification token of nobody: a user id that no user has, the hash of something that nobody ever knew, expired in
 * 1970. So it can never be presented or mailed, retention takes what a crash leaves of it, and comparisons leave it out.
 * It is never marked, so no worker of an instance meets it.
 */
import { isSameContent } from '../../db/apply.ts';
import type { Store } from '../../db/port.ts';
import { compareStamps, type VerificationTokenRecord } from '../../db/records.ts';
import type { Environment } from '../environment.ts';

const ENTITY = 'verificationToken';
const NOBODY = '0'.repeat(24);
const BORN = new Date(1_000);
const DUE = new Date(3_600_000);
const EXPIRES = new Date(86_400_000);
/** What expired in the first days of 1970 is the canary, or gone by retention anyway. */
const LEFT = { expiredBefore: new Date(EXPIRES.getTime() + 1), limit: 100 };
/** `apply` leaves out what is past retention, unless it is told that nothing is. */
const NOTHING_EXPIRED = new Date(0);

/** One that vanishes may have been taken by retention, or by another operator who cleans up: another one tells. */
const ATTEMPTS_MAX = 3;

interface Pair {
  readonly authority: Store;
  readonly mirror: Store;
}

interface Loss {
  readonly reason: string;
  /** It was written there, and is gone without a trace. */
  readonly vanished: boolean;
}

/** Null when it came back; otherwise where it was lost. Throws `StoreUnavailable`. */
export async function sendCanary(
  environment: Environment,
  stores: Pair,
  epoch: number,
): Promise<string | null> {
  let loss: Loss | null = null;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    loss = await sendOne(environment, stores, epoch);
    if (loss?.vanished !== true) break;
  }
  return loss?.reason ?? null;
}

async function sendOne(
  environment: Environment,
  { authority, mirror }: Pair,
  epoch: number,
): Promise<Loss | null> {
  const id = environment.newId();
  const [here, there] = [authority, mirror].map((store) => store.at({ epoch, pending: false }));
  const under = { epoch, expiredBefore: NOTHING_EXPIRED };
  const refused = (reason: string): Loss => ({ reason, vanished: false });
  const notHeld = ({ name }: Store, found: unknown): Loss => ({
    reason: `${name} does not hold what was written there`,
    vanished: found === null,
  });
  try {
    await here?.addVerificationToken({
      id,
      userId: NOBODY,
      tokenHash: unknowable(environment),
      nonce: null,
      createdAt: BORN,
      expiresAt: EXPIRES,
      mailDueAt: DUE,
    });
    const sent = await find(authority, id);
    if (sent === null) return notHeld(authority, sent);
    const [taken] = await mirror.replica.apply(ENTITY, [sent], under);
    if (taken?.kind !== 'applied') return refused(`${mirror.name} did not take it: ${taken?.kind}`);

    await there?.moveMailDue({ purpose: ENTITY, tokenId: id, from: DUE, to: null });
    const written = await find(mirror, id);
    if (written === null || compareStamps(written.stamp, sent.stamp) <= 0 || written.mailDueAt !== null) {
      return notHeld(mirror, written);
    }
    const [returned] = await authority.replica.apply(ENTITY, [written], under);
    if (returned?.kind !== 'applied')
      return refused(`${authority.name} did not take it back: ${returned?.kind}`);
    const back = await find(authority, id);
    const same = back !== null && compareStamps(back.stamp, written.stamp) === 0;
    if (same && isSameContent<typeof ENTITY>(back, written)) return null;
    return { reason: `${authority.name} does not hold what came back`, vanished: back === null };
  } finally {
    // What is left of it, retention takes.
    await Promise.allSettled([authority.replica.purge(LEFT), mirror.replica.purge(LEFT)]);
  }
}

async function find(store: Store, id: string): Promise<VerificationTokenRecord | null> {
  return (await store.replica.read(ENTITY, [id])).found.get(id)?.record ?? null;
}

/** 64 hex digits that are the hash of nothing anybody has. */
function unknowable(environment: Environment): string {
  return [1, 2, 3]
    .map(() => environment.newId())
    .join('')
    .slice(0, 64);
}
