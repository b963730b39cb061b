/**
 * What one operation may do at one moment, given the answer its client got. Each operation of the service is one
 * guarded write, so each takes effect at one moment between its call and its answer. What a signed-in user does takes two:
 * the session is looked up, then the deed is done, whatever became of the session in between; and a password change a
 * third, in which its own session is taken along.
 */
import type { Answer, Call, Operation, SessionName } from '../history/types.ts';
import { isAlive, type State, withAccount, withSession } from './state.ts';

/** `done` when the answer may now be given; otherwise what the operation remembers until its next moment. */
export interface Step {
  readonly state: State;
  readonly next: 'done' | number;
}

/** Before its first moment. */
export const BEGUN = 0;
/** The session was looked up, under this generation of the account. */
const lookedUp = (generation: number): number => 1 + generation;
const ADOPTING = -1;

export interface Rules {
  /** How long the immediate predecessor of a refresh token gets the same successor again. */
  readonly leewayMs: number;
}

/** Every state the operation may leave behind at its next moment; none: its answer cannot be explained here. */
export function stepsOf(state: State, operation: Operation, stage: number, rules: Rules): readonly Step[] {
  const { outcome } = operation;
  if (stage !== BEGUN) return later(state, operation, stage);
  switch (outcome.kind) {
    case 'ok':
      return whenOk(state, operation, outcome.answer, rules);
    case 'refused':
      return whenRefused(state, operation, outcome.code, rules);
    case 'unknown':
      return [...whenOk(state, operation, {}, rules), ...whenTheft(state, operation, rules)];
    case 'failed':
      return [];
  }
}

/** Records carry whole milliseconds of another clock than the history's. */
const SLACK_MS = 5;

const done = (state: State): readonly Step[] => [{ state, next: 'done' }];
const CANNOT: readonly Step[] = [];

/** The user id of an answer, when it is the account's or the first that anybody was told. */
function identified(state: State, { userId, isVerified }: Answer): State | null {
  const { account } = state;
  if (account === null) return null;
  if (isVerified !== undefined && isVerified !== account.verified) return null;
  if (userId === undefined || userId === account.userId) return state;
  return account.userId === null ? withAccount(state, { userId }) : null;
}

function whenOk(state: State, operation: Operation, answer: Answer, rules: Rules): readonly Step[] {
  const { call, id } = operation;
  const { account } = state;
  switch (call.kind) {
    case 'signup':
      if (account !== null) return CANNOT;
      return call.legacy === true
        ? done(signedUp(state, call.password, operation, answer, answer.isVerified === true))
        : done(opened(signedUp(state, call.password, operation, answer, false), operation));
    case 'login': {
      if (account?.password !== call.password) return CANNOT;
      const known = identified(state, answer);
      return known === null ? CANNOT : done(opened(known, operation));
    }
    case 'exchange':
      return exchanged(state, call.session, operation, answer, rules);
    case 'me': {
      const known = isAlive(state, call.session) ? identified(state, answer) : null;
      return known === null ? CANNOT : done(known);
    }
    case 'refresh':
      return refreshed(state, call, operation, answer, rules);
    case 'logout':
      return done(call.burns === true ? burned(state, call.session) : ended(state, call.session));
    case 'resend':
      return done(state);
    case 'verify':
      return account !== null && !account.verified ? done(withAccount(state, { verified: true })) : CANNOT;
    case 'forgot':
      return done(withAccount(state, { resetBy: id }));
    case 'reset':
      if (account === null || account.resetBy === null || !call.requests.includes(account.resetBy))
        return CANNOT;
      return done(withAccount(state, newPassword(account.generation, call.password)));
    case 'list':
    case 'end':
      return isAlive(state, call.session) ? [{ state, next: lookedUp(0) }] : CANNOT;
    case 'change':
    case 'erase':
      if (!isAlive(state, call.session) || account?.password !== call.password) return CANNOT;
      return [{ state, next: lookedUp(account.generation) }];
    case 'final':
      return asStored(state, answer);
  }
}

/** What a signed-in user does, after the session was looked up. */
function later(state: State, { call, outcome }: Operation, stage: number): readonly Step[] {
  const answer = outcome.kind === 'ok' ? outcome.answer : {};
  const { account } = state;
  switch (call.kind) {
    case 'list':
      return saysAlive(state, answer) ? done(state) : CANNOT;
    // Whoever is told that it ended a session found it not yet ended.
    case 'end':
      return outcome.kind === 'ok' && state.sessions[call.target]?.revoked === true
        ? CANNOT
        : done(ended(state, call.target));
    // Guarded by the generation: no other change to the account came first. A logout is none.
    case 'erase':
      return account !== null && lookedUp(account.generation) === stage
        ? done({ account: null, erased: state.erased + 1, sessions: {} })
        : CANNOT;
    case 'change': {
      if (stage === ADOPTING) return adopt(state, call.session);
      if (account === null || lookedUp(account.generation) !== stage) return CANNOT;
      return [{ state: withAccount(state, newPassword(account.generation, call.next)), next: ADOPTING }];
    }
    default:
      return CANNOT;
  }
}

function whenRefused(state: State, operation: Operation, code: string, rules: Rules): readonly Step[] {
  const { call } = operation;
  const { account } = state;
  const when = (explained: boolean): readonly Step[] => (explained ? done(state) : CANNOT);
  switch (`${call.kind} ${code}` as `${Call['kind']} ${string}`) {
    case 'signup email_taken':
      return when(account !== null);
    case 'login invalid_credentials':
      return when(call.kind === 'login' && account?.password !== call.password);
    case 'me unauthenticated':
    case 'list unauthenticated':
    case 'end unauthenticated':
    case 'change unauthenticated':
    case 'erase unauthenticated':
      return when('session' in call && !isAlive(state, call.session));
    case 'exchange refresh_invalid':
      return when(call.kind === 'exchange' && !mustExchange(state, call.session, operation, rules));
    case 'refresh refresh_invalid':
      if (call.kind === 'refresh' && !isAlive(state, call.session)) return done(state);
      return whenTheft(state, operation, rules);
    case 'verify token_invalid':
      return when(account === null || account.verified || (call.kind === 'verify' && !call.sure));
    case 'verify user_gone':
    case 'reset user_gone':
      return when(state.erased > 0);
    case 'reset token_invalid':
      return when(call.kind === 'reset' && !mustWork(state, call.requests));
    // The password is compared with what was read before; who changed it meanwhile is another operation's business.
    case 'change invalid_credentials':
    case 'erase invalid_credentials':
      return when('password' in call && account?.password !== call.password);
    case 'change changed_meanwhile':
    case 'erase changed_meanwhile':
      return done(state);
    case 'end session_not_found':
      return when(call.kind === 'end' && !isAlive(state, call.target));
    default:
      return CANNOT;
  }
}

function signedUp(
  state: State,
  password: string,
  { id }: Operation,
  answer: Answer,
  verified: boolean,
): State {
  const account = {
    signup: id,
    userId: answer.userId ?? null,
    password,
    verified,
    generation: 0,
    resetBy: null,
  };
  return { account, erased: state.erased, sessions: {} };
}

/** A session whose tokens no client holds decides nothing, so only answered ones are kept. */
function opened(state: State, operation: Operation): State {
  return operation.outcome.kind === 'ok' ? openedAs(state, operation.id, operation) : state;
}

/** The answer that a token was rotated came by then; where none did, its client may come back with it later than that. */
const answeredMs = ({ outcome, completedMs }: Operation): number =>
  outcome.kind === 'unknown' ? Number.POSITIVE_INFINITY : (completedMs ?? Number.POSITIVE_INFINITY);

function openedAs(state: State, name: SessionName, operation: Operation): State {
  if (state.account === null) return state;
  const { generation } = state.account;
  const [rotatedFromMs, rotatedToMs] = [operation.invokedMs, answeredMs(operation)];
  const session = { generation, revoked: false, rotation: 0, rotatedFromMs, rotatedToMs };
  return { ...state, sessions: { ...state.sessions, [name]: session } };
}

const ended = (state: State, name: SessionName): State => withSession(state, name, { revoked: true });

/** Whether tokens of the old service can open sessions: for the account it left, until the first new password. */
function takesExchanges({ account, erased }: State): boolean {
  return account?.generation === 0 && erased === 0;
}

/** A token of the old service opens its session once; inside the leeway it gives the same first token again. */
function exchanged(
  state: State,
  name: SessionName,
  operation: Operation,
  answer: Answer,
  rules: Rules,
): readonly Step[] {
  const known = takesExchanges(state) ? identified(state, answer) : null;
  const session = state.sessions[name];
  if (known === null) return CANNOT;
  if (session === undefined) return done(openedAs(known, name, operation));
  const inTime = operation.invokedMs - session.rotatedToMs <= rules.leewayMs + SLACK_MS;
  return isAlive(state, name) && session.rotation === 0 && inTime ? done(known) : CANNOT;
}

/** Late, it is refused, and ends nothing: such a token may lie about in several places. */
function mustExchange(
  state: State,
  name: SessionName,
  { completedMs }: Operation,
  { leewayMs }: Rules,
): boolean {
  const session = state.sessions[name];
  if (!takesExchanges(state) || session === undefined) return takesExchanges(state);
  const usedUntilMs = completedMs ?? Number.POSITIVE_INFINITY;
  const inTime = usedUntilMs - session.rotatedFromMs <= leewayMs - SLACK_MS;
  return isAlive(state, name) && session.rotation === 0 && inTime;
}

/** A logout with a token of the old service: its session ends, and none comes of it any more. */
function burned(state: State, name: SessionName): State {
  const { account } = state;
  if (account === null || state.sessions[name] !== undefined) return ended(state, name);
  const { generation } = account;
  const session = { generation, revoked: true, rotation: 0, rotatedFromMs: 0, rotatedToMs: 0 };
  return { ...state, sessions: { ...state.sessions, [name]: session } };
}

function newPassword(generation: number, password: string) {
  return { password, generation: generation + 1, resetBy: null };
}

function refreshed(
  state: State,
  call: Extract<Call, { kind: 'refresh' }>,
  operation: Operation,
  answer: Answer,
  rules: Rules,
): readonly Step[] {
  const { invokedMs } = operation;
  const session = state.sessions[call.session];
  const known = isAlive(state, call.session) ? identified(state, answer) : null;
  if (session === undefined || known === null) return CANNOT;
  if (call.token === session.rotation) {
    const rotatedToMs = answeredMs(operation);
    const rotated = { rotation: session.rotation + 1, rotatedFromMs: invokedMs, rotatedToMs };
    return done(withSession(known, call.session, rotated));
  }
  // The same successor again: only for the immediate predecessor, and only if it can have been inside the leeway.
  const inTime = invokedMs - session.rotatedToMs <= rules.leewayMs + SLACK_MS;
  return call.token === session.rotation - 1 && inTime ? done(known) : CANNOT;
}

/** A replaced token was used again: refused, and the session ends. */
function whenTheft(state: State, { call, completedMs }: Operation, rules: Rules): readonly Step[] {
  if (call.kind !== 'refresh' || !isAlive(state, call.session)) return CANNOT;
  const session = state.sessions[call.session];
  if (session === undefined || call.token >= session.rotation) return CANNOT;
  const usedUntilMs = completedMs ?? Number.POSITIVE_INFINITY;
  const late = usedUntilMs - session.rotatedFromMs > rules.leewayMs - SLACK_MS;
  if (call.token === session.rotation - 1 && !late) return CANNOT;
  return done(ended(state, call.session));
}

/** The second moment of a password change: its own session lives on, unless it was ended in between. */
function adopt(state: State, name: number): readonly Step[] {
  const session = state.sessions[name];
  const { account } = state;
  if (session === undefined || account === null || session.revoked) return done(state);
  if (session.generation !== account.generation - 1) return done(state);
  return done(withSession(state, name, { generation: account.generation }));
}

/** Whether a reset token must work: the newest request is one that it certainly comes from. */
function mustWork({ account }: State, requests: readonly number[]): boolean {
  return account !== null && requests.length === 1 && account.resetBy === requests[0];
}

function saysAlive(state: State, { sessions }: Answer): boolean {
  if (sessions === undefined) return true;
  const alive = Object.keys(state.sessions)
    .map(Number)
    .filter((name) => isAlive(state, name));
  return alive.length === sessions.length && alive.every((name) => sessions.includes(name));
}

function asStored(state: State, answer: Answer): readonly Step[] {
  const { account } = state;
  if (answer.exists !== undefined && answer.exists !== (account !== null)) return CANNOT;
  if (account === null) return done(state);
  if (answer.generation !== undefined && answer.generation !== account.generation) return CANNOT;
  const known = identified(state, answer);
  return known !== null && saysAlive(known, answer) ? done(known) : CANNOT;
}
