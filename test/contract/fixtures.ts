/** Fresh records: every call has ids, hashes and addresses of its own. */
import { createHash, randomBytes } from 'node:crypto';
import { emailKey } from '../../db/email.ts';
import { newId } from '../../db/ids.ts';
import type { PresentedToken, Repository } from '../../db/port.ts';
import type {
  New,
  ResetTokenRecord,
  SessionRecord,
  UserRecord,
  VerificationTokenRecord,
} from '../../db/records.ts';

/** Not a whole second: milliseconds must survive. */
export const NOW = new Date('2026-03-01T12:00:00.789Z');

export function later(ms: number, from = NOW): Date {
  return new Date(from.getTime() + ms);
}

export const HOUR_MS = 3_600_000;

export function freshId(): string {
  return newId(NOW);
}

export function freshHash(): string {
  return randomBytes(32).toString('hex');
}

/** What passes for a bcrypt hash, which no password has. */
export function fakeHash(label: string): string {
  return `$2b$04$${label.padEnd(53, '.')}`;
}

/** A token as a client presents it, for the record that holds its hash. */
export function freshToken(): PresentedToken {
  const clear = randomBytes(16).toString('base64url');
  return { clear, hash: createHash('sha256').update(clear).digest('hex') };
}

export function newUser(given: Partial<New<UserRecord>> = {}): New<UserRecord> {
  const email = given.email ?? `Jo.${randomBytes(6).toString('hex')}@Example.org`;
  return {
    id: freshId(),
    email,
    emailKey: emailKey(email),
    name: 'Zoë Ångström 👩‍💻 「太郎」',
    passwordHash: fakeHash(randomBytes(6).toString('hex')),
    isVerified: false,
    verifiedWith: null,
    sessionGeneration: 0,
    resetGeneration: 0,
    createdAt: NOW,
    updatedAt: NOW,
    deletedAt: null,
    ...given,
  };
}

export function newVerificationToken(
  userId: string,
  given: Partial<New<VerificationTokenRecord>> = {},
): New<VerificationTokenRecord> {
  return {
    id: freshId(),
    userId,
    tokenHash: freshHash(),
    nonce: randomBytes(16).toString('base64url'),
    createdAt: NOW,
    expiresAt: later(24 * HOUR_MS),
    mailDueAt: null,
    ...given,
  };
}

export function newResetToken(
  userId: string,
  given: Partial<New<Omit<ResetTokenRecord, 'generation'>>> = {},
): New<Omit<ResetTokenRecord, 'generation'>> {
  return { ...newVerificationToken(userId), expiresAt: later(HOUR_MS), ...given };
}

export function newSession(userId: string, given: Partial<New<SessionRecord>> = {}): New<SessionRecord> {
  return {
    id: freshId(),
    userId,
    generation: 0,
    tokenHash: freshHash(),
    previousTokenHash: null,
    rotation: 0,
    keyId: 'k1',
    createdAt: NOW,
    rotatedAt: NOW,
    idleExpiresAt: later(24 * HOUR_MS),
    expiresAt: later(720 * HOUR_MS),
    revokedAt: null,
    revokedReason: null,
    userAgent: 'Browser/1.0 🦊',
    ...given,
  };
}

export interface Account {
  readonly user: New<UserRecord>;
  readonly token: New<VerificationTokenRecord>;
  readonly session: New<SessionRecord>;
}

export function newAccount(given: Partial<New<UserRecord>> = {}): Account {
  const user = newUser(given);
  return { user, token: newVerificationToken(user.id), session: newSession(user.id) };
}

/** An account that is stored. */
export async function signUp(repo: Repository, given: Partial<New<UserRecord>> = {}): Promise<Account> {
  const account = newAccount(given);
  await repo.createAccount(account);
  return account;
}

/** A further session that is stored, with no bound on their number. */
export async function logIn(
  repo: Repository,
  userId: string,
  given: Partial<New<SessionRecord>> = {},
): Promise<New<SessionRecord>> {
  const session = newSession(userId, given);
  await repo.openSession({ session, replacesId: null, sessionsMax: 1_000, now: NOW });
  return session;
}

/** A reset token that is stored; the answer names its generation. */
export async function askReset(
  repo: Repository,
  userId: string,
): Promise<{ readonly id: string; readonly presented: PresentedToken; readonly generation: number }> {
  const presented = freshToken();
  const token = newResetToken(userId, { tokenHash: presented.hash });
  await repo.requestReset({ token, decoy: false, now: NOW });
  const found = await repo.findResetToken(presented);
  if (found === null) throw new Error('the reset token was not stored');
  return { id: token.id, presented, generation: found.token.generation };
}

/** Runs as many calls at once. */
export function parallel<T>(count: number, run: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => run(index)));
}

/** The user as it stands; it must be there. */
export async function userOf(repo: Repository, id: string): Promise<UserRecord> {
  const user = await repo.findUser(id);
  if (user === null) throw new Error('no such user');
  return user;
}

/** The session as it stands; it must be there. */
export async function sessionOf(repo: Repository, id: string): Promise<SessionRecord> {
  const found = await repo.findSession(id);
  if (found === null) throw new Error('no such session');
  return found.session;
}

/** Ids of the live sessions, as the store lists them. */
export async function liveIds(repo: Repository, userId: string): Promise<readonly string[]> {
  return (await repo.listSessions({ userId, now: NOW })).map((session) => session.id);
}
