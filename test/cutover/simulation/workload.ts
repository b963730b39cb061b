/**
 * What clients do, through a service that follows the rules of the real one: a password takes a while to check, a login
 * remembers the generation it read before, a token is judged before it is used. Clients share a few accounts, so that
 * they get in each other's way.
 */

import type { Environment } from '../../../cutover/environment.ts';
import { EmailTaken, IdTaken, StaleWrite, StoreUnavailable } from '../../../db/errors.ts';
import type { PresentedToken, Repository } from '../../../db/port.ts';
import type { New, SessionRecord } from '../../../db/records.ts';
import { isLive } from '../../../db/transitions.ts';
import type { Random } from './random.ts';

/** What clients know of an account; any of it may be out of date. */
interface Account {
  readonly id: string;
  readonly email: string;
  readonly passwords: string[];
  readonly sessions: { readonly id: string; tokens: string[] }[];
  readonly verificationToken: { readonly id: string; readonly presented: PresentedToken };
  readonly resetTokens: PresentedToken[];
}

/** One process of the service, as a client reaches it. */
export interface Service {
  readonly repository: Repository;
  readonly environment: Environment;
}

const DAY_MS = 86_400_000;
const SESSIONS_MAX = 4;

export interface Workload {
  /** An account that is there from the beginning. */
  begin(service: Service): Promise<unknown>;
  /** One request of a client, carried out in that process. Never rejects. */
  request(service: Service): Promise<void>;
  /** Requests by what became of them: `login ok`, `logout unavailable`. */
  readonly counts: ReadonlyMap<string, number>;
  /** Requests that failed though nothing was wrong with them. */
  failures(): number;
  /** Errors that no port operation may throw. */
  readonly bugs: readonly string[];
}

type Request = (service: Service, account: Account) => Promise<string>;

export function createWorkload(random: Random, hashMs: readonly [min: number, max: number]): Workload {
  const accounts: Account[] = [];
  const counts = new Map<string, number>();
  const bugs: string[] = [];
  let serial = 0;
  let failures = 0;

  const fresh = (kind: string): string => {
    serial += 1;
    return `${kind}${serial}`;
  };
  const freshId = (now: Date): string => {
    serial += 1;
    const seconds = Math.floor(now.getTime() / 1_000);
    return seconds.toString(16).padStart(8, '0') + serial.toString(16).padStart(16, '0');
  };
  const presented = (clear: string): PresentedToken => ({ clear, hash: `hash of ${clear}` });
  const recent = <T>(list: readonly T[]): T | undefined =>
    random.chance(0.7) ? list.at(-1) : list[random.below(list.length)];

  function newSession(userId: string, generation: number, tokenHash: string, now: Date): New<SessionRecord> {
    return {
      id: freshId(now),
      userId,
      generation,
      tokenHash,
      previousTokenHash: null,
      rotation: 0,
      keyId: 'k1',
      createdAt: now,
      rotatedAt: now,
      idleExpiresAt: new Date(now.getTime() + DAY_MS),
      expiresAt: new Date(now.getTime() + 30 * DAY_MS),
      revokedAt: null,
      revokedReason: null,
      userAgent: 'simulated',
    };
  }

  const hashing = ({ environment }: Service): Promise<void> => environment.sleep(random.between(...hashMs));

  const signup = async ({ repository, environment }: Service): Promise<string> => {
    const taken = accounts.length > 0 && random.chance(0.2) ? random.pick(accounts).email : null;
    const now = environment.date();
    const id = freshId(now);
    const email = taken ?? `${fresh('user')}@example.test`;
    const password = fresh('password');
    const verification = presented(fresh('verify'));
    const token = {
      id: freshId(now),
      userId: id,
      tokenHash: verification.hash,
      nonce: 'n',
      createdAt: now,
      expiresAt: new Date(now.getTime() + DAY_MS),
      mailDueAt: null,
    };
    const session = newSession(id, 0, `hash of ${fresh('refresh')}`, now);
    const account: Account = {
      id,
      email,
      passwords: [password],
      sessions: [{ id: session.id, tokens: [session.tokenHash] }],
      verificationToken: { id: token.id, presented: verification },
      resetTokens: [],
    };
    // Also one whose signup had no answer: it may be there.
    if (taken === null) accounts.push(account);
    const user = {
      id,
      email,
      emailKey: email,
      name: 'Somebody',
      passwordHash: password,
      isVerified: false,
      verifiedWith: null,
      sessionGeneration: 0,
      resetGeneration: 0,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    };
    try {
      await repository.createAccount({ user, token, session });
    } catch (error) {
      if (error instanceof EmailTaken) return 'taken';
      throw error;
    }
    if (taken !== null) accounts.push(account);
    return 'ok';
  };

  const login: Request = async (service, account) => {
    const { repository, environment } = service;
    const user = await repository.findUserByEmail(account.email);
    if (user === null) return 'unknown user';
    await hashing(service);
    if (user.passwordHash === null || user.passwordHash !== recent(account.passwords))
      return 'wrong password';
    const now = environment.date();
    const session = newSession(user.id, user.sessionGeneration, `hash of ${fresh('refresh')}`, now);
    account.sessions.push({ id: session.id, tokens: [session.tokenHash] });
    const replacesId = random.chance(0.3) ? (recent(account.sessions.slice(0, -1))?.id ?? null) : null;
    await repository.openSession({ session, replacesId, sessionsMax: SESSIONS_MAX, now });
    return 'ok';
  };

  const use: Request = async ({ repository, environment }, account) => {
    const known = recent(account.sessions);
    if (known === undefined) return 'no session';
    const found = await repository.findSession(known.id);
    return found !== null && isLive(found.session, found.user, environment.date()) ? 'ok' : 'ended';
  };

  const refresh: Request = async ({ repository, environment }, account) => {
    const known = recent(account.sessions);
    const token = known && recent(known.tokens);
    if (known === undefined || token === undefined) return 'no session';
    const found = await repository.findSession(known.id);
    const now = environment.date();
    if (found === null || !isLive(found.session, found.user, now)) return 'ended';
    if (found.session.previousTokenHash === token) return 'again';
    if (found.session.tokenHash !== token) {
      await repository.revokeSession({ sessionId: known.id, userId: null, reason: 'reuse', now });
      return 'reuse';
    }
    const toHash = `hash of ${fresh('refresh')}`;
    known.tokens.push(toHash);
    const rotated = await repository.rotateSession({
      sessionId: known.id,
      fromHash: token,
      toHash,
      now,
      idleExpiresAt: new Date(now.getTime() + DAY_MS),
      ...(random.chance(0.5) ? { known: found.session } : {}),
    });
    return rotated === null ? 'lost the race' : 'ok';
  };

  const logout: Request = async ({ repository, environment }, account) => {
    const known = recent(account.sessions);
    if (known === undefined) return 'no session';
    const revoked = await repository.revokeSession({
      sessionId: known.id,
      userId: account.id,
      reason: 'logout',
      now: environment.date(),
    });
    return revoked ? 'ok' : 'ended';
  };

  const changePassword: Request = async (service, account) => {
    const { repository, environment } = service;
    const known = recent(account.sessions);
    const found = known && (await repository.findSession(known.id));
    if (!found?.user || !isLive(found.session, found.user, environment.date())) return 'ended';
    await hashing(service);
    const newHash = fresh('password');
    account.passwords.push(newHash);
    return repository.changePassword({
      userId: account.id,
      sessionGeneration: found.user.sessionGeneration,
      newHash,
      keepSessionId: found.session.id,
      now: environment.date(),
    });
  };

  const requestReset: Request = async ({ repository, environment }, account) => {
    const user = await repository.findUserByEmail(account.email);
    if (user === null) return 'unknown user';
    const now = environment.date();
    const reset = presented(fresh('reset'));
    account.resetTokens.push(reset);
    const token = {
      id: freshId(now),
      userId: user.id,
      tokenHash: reset.hash,
      nonce: 'n',
      createdAt: now,
      expiresAt: new Date(now.getTime() + DAY_MS),
      mailDueAt: null,
    };
    return repository.requestReset({ token, decoy: false, now });
  };

  const reset: Request = async (service, account) => {
    const { repository, environment } = service;
    const token = recent(account.resetTokens);
    const found = token && (await repository.findResetToken(token));
    if (!found?.user) return 'no token';
    if (found.superseded || found.token.generation !== found.user.resetGeneration) return 'superseded';
    await hashing(service);
    const newHash = fresh('password');
    account.passwords.push(newHash);
    return repository.consumeReset({
      userId: found.user.id,
      generation: found.token.generation,
      newHash,
      now: environment.date(),
    });
  };

  const verify: Request = async ({ repository, environment }, account) => {
    const found = await repository.findVerificationToken(account.verificationToken.presented);
    if (!found?.user) return 'no token';
    const { id } = found.token;
    return repository.verifyEmail({ userId: found.user.id, tokenId: id, now: environment.date() });
  };

  const look: Request = async ({ repository, environment }, account) => {
    const user = await repository.findUser(account.id);
    if (user === null) return 'unknown user';
    if (random.chance(0.5)) await repository.listSessions({ userId: user.id, now: environment.date() });
    return 'ok';
  };

  const endAll: Request = ({ repository, environment }, account) =>
    repository.endSessions({ userId: account.id, now: environment.date() });

  const erase: Request = ({ repository, environment }, account) =>
    repository.eraseUser({ userId: account.id, sessionGeneration: null, now: environment.date() });

  /** How often each is asked for, and how. */
  const MIX: readonly (readonly [weight: number, name: string, request: Request])[] = [
    [14, 'login', login],
    [16, 'use', use],
    [22, 'refresh', refresh],
    [9, 'logout', logout],
    [7, 'change password', changePassword],
    [6, 'request reset', requestReset],
    [6, 'reset', reset],
    [5, 'verify', verify],
    [4, 'look', look],
    [3, 'end sessions', endAll],
    [1, 'erase', erase],
  ];
  const total = MIX.reduce((sum, [weight]) => sum + weight, 0);

  function draw(): readonly [name: string, request: Request] {
    let left = random.next() * total;
    for (const [weight, name, request] of MIX) {
      left -= weight;
      if (left < 0) return [name, request];
    }
    return ['use', use];
  }

  function count(what: string): void {
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }

  async function request(service: Service): Promise<void> {
    const account = random.chance(0.6) ? accounts.at(-1 - random.below(3)) : recent(accounts);
    const [name, act] = account === undefined || random.chance(0.08) ? ['signup' as const, signup] : draw();
    try {
      const outcome = await (account === undefined ? signup(service) : act(service, account));
      count(`${name}: ${outcome}`);
    } catch (error) {
      const known =
        error instanceof StoreUnavailable || error instanceof StaleWrite || error instanceof IdTaken;
      if (!known) bugs.push(`${name} threw ${error instanceof Error ? error.stack : String(error)}`);
      failures += 1;
      count(`${name}: ${error instanceof StoreUnavailable ? `503 ${error.outcome}` : (error as Error).name}`);
    }
  }

  return { begin: signup, request, counts, bugs, failures: () => failures };
}
