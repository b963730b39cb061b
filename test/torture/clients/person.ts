/**
 * One e-mail address and everybody who acts for it. What it knows only guides it to calls that matter; whether the
 * answers are right is for the checker. Sessions go on at whatever instance comes next.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Recorded, Recorder } from '../history/recorder.ts';
import type { Call, Outcome } from '../history/types.ts';
import type { Random } from '../random.ts';
import type { TokenInbox } from '../system/inbox.ts';
import type { HttpClient, Reply, Request } from './http.ts';
import { type LegacyAccount, legacyPlace, legacySession } from './legacy.ts';
import { type HeldSession, heldSession } from './sessions.ts';
import type { Turns } from './turns.ts';

export interface World {
  readonly http: HttpClient;
  readonly recorder: Recorder;
  readonly inbox: TokenInbox;
  readonly random: Random;
  /** Where requests can be sent to. */
  readonly targets: readonly { readonly name: string; readonly url: string }[];
  readonly leewayMs: number;
  /** What hashes passwords waits for its turn before it begins: more than the cores can do would only time out. */
  readonly hashing: Turns;
  /** Reports what no history can show. */
  readonly report: (what: string) => void;
}

const HASHING: ReadonlySet<Call['kind']> = new Set(['signup', 'login', 'reset', 'change', 'erase']);
/** How long a mail is waited for. */
const MAIL_TIMEOUT_MS = 3_000;

/** `known`: an account that is there already, whose address nobody has mailed to. */
export function createPerson(world: World, email: string, known: LegacyAccount | null = null) {
  const { recorder, random, inbox } = world;
  const sessions: HeldSession[] = [];
  /** The likeliest first. */
  let passwords: string[] = known === null ? [] : [known.password];
  let passwordsMade = 0;
  let signups = 0;
  let mayBeErased = false;
  let sureOfAccount = known !== null;
  /** Requests for a reset whose mail was not told from others. */
  const openRequests = new Set<number>();
  const resetTokens: { readonly token: string; readonly requests: readonly number[] }[] = [];
  let seenResetMails = 0;

  async function call(what: Call, request: Request): Promise<Recorded> {
    const target = random.pick(world.targets);
    const send = () => recorder.record(email, what, target.name, () => world.http.send(target.url, request));
    return HASHING.has(what.kind) ? world.hashing.take(send) : send();
  }

  const newPassword = (): string => {
    passwordsMade += 1;
    return `pass phrase ${passwordsMade} of ${email}`;
  };
  const believe = (password: string): void => {
    passwords = [password, ...passwords.filter((other) => other !== password)].slice(0, 4);
  };
  const alsoThinkOf = (password: string): void => {
    passwords = [...passwords.filter((other) => other !== password), password].slice(-4);
  };
  const password = (): string => passwords[0] ?? newPassword();
  const alive = (): readonly HeldSession[] => sessions.filter(({ believedAlive }) => believedAlive);
  /** Mostly one that should work, now and then one that must not. */
  const anySession = (): HeldSession | null => {
    const living = alive();
    const dead = sessions.filter(({ believedAlive }) => !believedAlive).slice(-4);
    if (living.length === 0 || (dead.length > 0 && random.chance(0.15)))
      return dead.length > 0 ? random.pick(dead) : null;
    return random.pick(living);
  };

  function open({ id, outcome, reply }: Recorded): HeldSession | null {
    const session = outcome.kind === 'ok' && reply.kind === 'answer' ? heldSession(id, reply) : null;
    if (session !== null) {
      recorder.name(session.id, session.name);
      sessions.push(session);
    }
    return session;
  }

  function learn(session: HeldSession, { outcome }: Recorded): void {
    if (outcome.kind === 'refused' && outcome.code === 'unauthenticated') session.believedAlive = false;
  }

  const endAllBut = (kept: HeldSession | null): void => {
    for (const session of sessions) if (session !== kept) session.believedAlive = false;
  };

  async function signup(spelling = email): Promise<boolean> {
    const chosen = newPassword();
    const json = { email: spelling, name: 'Ada Example', password: chosen };
    signups += 1;
    const answer = await call({ kind: 'signup', password: chosen }, post('/auth/signup', json));
    if (answer.outcome.kind === 'unknown') alsoThinkOf(chosen);
    if (open(answer) === null) return false;
    sureOfAccount = signups === 1;
    believe(chosen);
    return true;
  }

  async function login(): Promise<HeldSession | null> {
    const tried = password();
    const answer = await call(
      { kind: 'login', password: tried },
      post('/auth/login', { email, password: tried }),
    );
    if (answer.outcome.kind === 'ok') believe(tried);
    if (answer.outcome.kind === 'refused') alsoThinkOf(tried);
    return open(answer);
  }

  /** With a token of the old service: mostly one that was not used yet. */
  async function exchange(): Promise<void> {
    const tokens = known?.tokens ?? [];
    const places = [...tokens.keys()];
    const fresh = places.filter((at) => !sessions.some(({ name }) => name === legacySession(at)));
    const place = random.pick(fresh.length > 0 && random.chance(0.7) ? fresh : places);
    const name = legacySession(place);
    const request = { method: 'GET', path: '/auth/refresh', bearer: tokens[place] };
    const { outcome, reply } = await call({ kind: 'exchange', session: name }, request);
    const told = outcome.kind === 'ok' && reply.kind === 'answer' ? heldSession(name, reply) : null;
    if (told === null) return;
    const held = sessions.find((session) => session.name === name);
    if (held === undefined) sessions.push(told);
    else if (held.tokens[0] !== told.tokens[0]) {
      world.report(`exchange of ${name} of ${email}: a second successor of one token`);
    }
  }

  async function me(session = anySession()): Promise<void> {
    if (session === null) return;
    const { name, access } = session;
    learn(
      session,
      await call({ kind: 'me', session: name }, { method: 'GET', path: '/auth/me', bearer: access }),
    );
  }

  async function list(): Promise<void> {
    const session = anySession();
    if (session === null) return;
    const request = { method: 'GET', path: '/auth/sessions', bearer: session.access };
    learn(session, await call({ kind: 'list', session: session.name }, request));
  }

  async function refresh(
    session = anySession(),
    token = (session?.tokens.length ?? 1) - 1,
  ): Promise<Outcome['kind'] | null> {
    const presented = session?.tokens[token];
    if (session === null || presented === undefined) return null;
    const request = { method: 'GET', path: '/auth/refresh', bearer: presented };
    const answer = await call({ kind: 'refresh', session: session.name, token }, request);
    if (answer.outcome.kind === 'refused') session.believedAlive = false;
    session.unsure = answer.outcome.kind === 'unknown';
    if (answer.outcome.kind !== 'ok' || answer.reply.kind !== 'answer') return answer.outcome.kind;
    const successor = (answer.reply as Reply).body['refreshToken'] as string;
    const known = session.tokens[token + 1];
    if (known !== undefined && known !== successor) {
      world.report(`refresh (operation ${answer.id}): a second successor of one token`);
    }
    session.tokens[token + 1] = successor;
    session.toldAtMs = performance.now();
    return 'ok';
  }

  /** Presents a token that was replaced: the immediate predecessor past the leeway, or an older one. True when refused. */
  async function reuse(): Promise<boolean> {
    const session = alive().find(
      ({ tokens, toldAtMs }) =>
        tokens.length > 2 || (tokens.length === 2 && performance.now() - toldAtMs > world.leewayMs),
    );
    if (session === undefined) return false;
    const answered = await refresh(session, random.int(0, session.tokens.length - 2));
    await refresh(session);
    return answered === 'refused';
  }

  async function logout(): Promise<void> {
    const session = alive()[0];
    if (session === undefined) return;
    const { name } = session;
    const legacyToken = known?.tokens[legacyPlace(name)];
    const burns = legacyToken !== undefined && random.chance(0.5);
    const own = random.chance(0.5) ? session.access : session.tokens.at(-1);
    const { outcome } = await logOut(name, burns ? legacyToken : own, burns);
    // Whoever was not told asks again, mostly somewhere else: what that finds done it answers for.
    session.believedAlive = outcome.kind === 'unknown' || outcome.kind === 'failed';
  }

  const logOut = (session: number, bearer: string | undefined, burns: boolean): Promise<Recorded> => {
    const what: Call = { kind: 'logout', session, ...(burns && { burns }) };
    return call(what, { method: 'POST', path: '/auth/logout', bearer });
  };

  /** A logout with a token of the old service, exchanged or not. */
  async function burn(): Promise<void> {
    if (known === null) return;
    const place = random.int(0, known.tokens.length - 1);
    const { outcome } = await logOut(legacySession(place), known.tokens[place], true);
    const held = sessions.find(({ name }) => name === legacySession(place));
    if (held !== undefined && outcome.kind === 'ok') held.believedAlive = false;
  }

  async function end(): Promise<void> {
    const living = alive();
    const dead = sessions.filter(({ believedAlive }) => !believedAlive).slice(-4);
    const target = dead.length > 0 && random.chance(0.15) ? random.pick(dead) : living[0];
    const session = living.at(-1);
    if (session === undefined || target === undefined) return;
    const request = { method: 'DELETE', path: `/auth/sessions/${target.id}`, bearer: session.access };
    const answer = await call({ kind: 'end', session: session.name, target: target.name }, request);
    learn(session, answer);
    if (answer.outcome.kind === 'ok') target.believedAlive = false;
  }

  async function verify(): Promise<void> {
    if (signups === 0 && inbox.tokens(email, 'verify-email').length === 0) return;
    await mailed('verify-email', 1);
    const tokens = inbox.tokens(email, 'verify-email');
    if (tokens.length === 0) return;
    // However many were mailed, the first is worth as much as the last.
    const token = random.pick(tokens);
    const sure = sureOfAccount && !mayBeErased && signups === (known === null ? 1 : 0);
    await call({ kind: 'verify', sure }, post('/auth/verify-email', { token }));
  }

  async function mailed(kind: 'verify-email' | 'reset-password', count: number): Promise<string | undefined> {
    const deadline = performance.now() + MAIL_TIMEOUT_MS;
    while (inbox.tokens(email, kind).length < count && performance.now() < deadline) await sleep(20);
    return inbox.tokens(email, kind).at(-1);
  }

  async function resend(): Promise<void> {
    await call({ kind: 'resend' }, post('/auth/resend-verification', { email }));
  }

  async function forgot(): Promise<void> {
    const answer = await call({ kind: 'forgot' }, post('/auth/forgot-password', { email }));
    if (answer.outcome.kind === 'failed') return;
    openRequests.add(answer.id);
    await mailed('reset-password', seenResetMails + 1);
    const fresh = inbox.tokens(email, 'reset-password').slice(seenResetMails);
    seenResetMails += fresh.length;
    for (const token of fresh) resetTokens.push({ token, requests: [...openRequests] });
    // Only a mail that can have come from one request alone tells which; otherwise all stay possible.
    if (openRequests.size === 1 && fresh.length === 1) openRequests.clear();
  }

  async function reset(held = resetTokens.at(-1)): Promise<Outcome['kind'] | null> {
    if (held === undefined) return null;
    const chosen = newPassword();
    const { token, requests } = held;
    const json = { token, password: chosen, confirmPassword: chosen };
    const answer = await call(
      { kind: 'reset', requests, password: chosen },
      post('/auth/reset-password', json),
    );
    if (answer.outcome.kind === 'ok') {
      believe(chosen);
      endAllBut(null);
    }
    if (answer.outcome.kind === 'unknown') alsoThinkOf(chosen);
    return answer.outcome.kind;
  }

  /** Presents a reset token that a newer one has replaced, then the newer one. True when the first was refused. */
  async function superseded(): Promise<boolean> {
    await forgot();
    const older = resetTokens.at(-1);
    await forgot();
    if (older === undefined || resetTokens.at(-1) === older) return false;
    const answered = await reset(older);
    await reset();
    return answered === 'refused';
  }

  async function change(): Promise<void> {
    const session = alive().at(-1);
    if (session === undefined) return;
    const [current, next] = [password(), newPassword()];
    const json = { currentPassword: current, newPassword: next };
    const what = { kind: 'change', session: session.name, password: current, next } as const;
    const answer = await call(what, { ...post('/auth/change-password', json), bearer: session.access });
    learn(session, answer);
    if (answer.outcome.kind === 'ok') {
      believe(next);
      endAllBut(session);
    }
    if (answer.outcome.kind === 'unknown') alsoThinkOf(next);
    if (answer.outcome.kind === 'refused' && answer.outcome.code === 'invalid_credentials')
      alsoThinkOf(current);
  }

  async function erase(): Promise<void> {
    const session = alive().at(-1);
    if (session === undefined) return;
    mayBeErased = true;
    const chosen = password();
    const request = {
      method: 'DELETE',
      path: '/auth/me',
      json: { password: chosen },
      bearer: session.access,
    };
    const answer = await call({ kind: 'erase', session: session.name, password: chosen }, request);
    learn(session, answer);
    if (answer.outcome.kind === 'ok') endAllBut(null);
  }

  return {
    email,
    alive,
    /** Not yet known to be dead, or known to be: all of them. */
    sessions: sessions as readonly HeldSession[],
    resetTokens,
    acts: {
      signup,
      login,
      exchange,
      me,
      list,
      refresh,
      reuse,
      logout,
      burn,
      end,
      verify,
      resend,
      forgot,
      reset,
      superseded,
      change,
      erase,
    },
    /** Whether it has tokens of the old service. */
    isLegacy: known !== null,
  };
}

export type Person = ReturnType<typeof createPerson>;

function post(path: string, json: object): Request {
  return { method: 'POST', path, json };
}
