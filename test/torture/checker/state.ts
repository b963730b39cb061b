/** What one e-mail address may look like in the authority, as far as clients can tell. Plain, small, comparable. */
import type { SessionName } from '../history/types.ts';

export interface SessionState {
  /** The account's generation it was opened under, or adopted into. */
  readonly generation: number;
  readonly revoked: boolean;
  /** How often its refresh token was rotated. */
  readonly rotation: number;
  /** When it was last rotated: not before, and not after. */
  readonly rotatedFromMs: number;
  readonly rotatedToMs: number;
}

export interface Account {
  /** The signup that made it. */
  readonly signup: number;
  /** Null until an answer has told. */
  readonly userId: string | null;
  readonly password: string;
  readonly verified: boolean;
  /** Raised by whatever ends all sessions. */
  readonly generation: number;
  /** The request whose reset token works; null when none does. */
  readonly resetBy: number | null;
}

export interface State {
  readonly account: Account | null;
  /** How many accounts of this address were erased. */
  readonly erased: number;
  /** Of the living account, those that clients know of. */
  readonly sessions: Readonly<Record<SessionName, SessionState>>;
}

export const NOTHING: State = { account: null, erased: 0, sessions: {} };

export function isAlive(state: State, name: SessionName): boolean {
  const session = state.sessions[name];
  return (
    state.account !== null &&
    session !== undefined &&
    !session.revoked &&
    session.generation === state.account.generation
  );
}

export function withSession(state: State, name: SessionName, change: Partial<SessionState>): State {
  const session = state.sessions[name];
  if (session === undefined) return state;
  return { ...state, sessions: { ...state.sessions, [name]: { ...session, ...change } } };
}

export function withAccount(state: State, change: Partial<Account>): State {
  return state.account === null ? state : { ...state, account: { ...state.account, ...change } };
}

/** The same text for states that nothing can tell apart. */
export function keyOf({ account, erased, sessions }: State): string {
  const parts = Object.entries(sessions).map(
    ([name, s]) =>
      `${name}:${s.generation}${s.revoked ? 'x' : ''}.${s.rotation}@${s.rotatedFromMs}-${s.rotatedToMs}`,
  );
  const who = account && [
    account.signup,
    account.userId,
    account.password,
    account.verified,
    account.generation,
    account.resetBy,
  ];
  return `${who?.join(',') ?? '-'}|${erased}|${parts.join(';')}`;
}
