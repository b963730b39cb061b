/** The operator's verbs. Each takes the stores and nothing else of the running system, and works with every instance down. */
import type {
  ActionResult,
  Destination,
  EraseResult,
  FailoverRequest,
  FailoverResult,
  LogLine,
  MoveRequest,
  MoveResult,
  NoteLine,
  OperatorContext,
  PendingResult,
  PlanResult,
  SetResult,
  Status,
  UserActionResult,
} from './types.ts';

export type * from './types.ts';

/** No store that could speak for the authority was reached, or there is no system yet. Exit code 5. */
export class AuthorityUnknown extends Error {
  override readonly name = 'AuthorityUnknown';
}

/**
 * Every verb rejects with `AuthorityUnknown` or `StoreUnavailable` (exit code 5), with `UnreadableControl` when a record
 * is another version's, and with `RangeError` for an argument that cannot be (exit code 2). Nothing else is expected.
 */
interface Verbs {
  readStatus(context: OperatorContext, options: { readonly watchMs: number }): Promise<Status>;
  planMove(context: OperatorContext, destination: Destination): Promise<PlanResult>;
  move(context: OperatorContext, request: MoveRequest): Promise<MoveResult>;
  abort(context: OperatorContext): Promise<ActionResult>;
  /** `value` as typed. */
  setSetting(context: OperatorContext, key: string, value: string): Promise<SetResult>;
  pending(context: OperatorContext, query: { readonly limit: number }): Promise<PendingResult>;
  conflicts(context: OperatorContext, query: { readonly limit: number }): Promise<readonly NoteLine[]>;
  poisoned(context: OperatorContext, query: { readonly limit: number }): Promise<readonly NoteLine[]>;
  differences(context: OperatorContext, query: { readonly limit: number }): Promise<readonly NoteLine[]>;
  /** The newest first. */
  log(context: OperatorContext, query: { readonly limit: number }): Promise<readonly LogLine[]>;
  failover(context: OperatorContext, request: FailoverRequest): Promise<FailoverResult>;
  endSessions(context: OperatorContext, target: { readonly userId: string }): Promise<UserActionResult>;
  eraseUser(context: OperatorContext, target: { readonly userId: string }): Promise<EraseResult>;
}

const notYet = async (): Promise<never> => {
  throw new AuthorityUnknown('this verb is being built');
};

export const readStatus: Verbs['readStatus'] = notYet;
export const planMove: Verbs['planMove'] = notYet;
export const move: Verbs['move'] = notYet;
export const abort: Verbs['abort'] = notYet;
export const setSetting: Verbs['setSetting'] = notYet;
export const pending: Verbs['pending'] = notYet;
export const conflicts: Verbs['conflicts'] = notYet;
export const poisoned: Verbs['poisoned'] = notYet;
export const differences: Verbs['differences'] = notYet;
export const log: Verbs['log'] = notYet;
export const failover: Verbs['failover'] = notYet;
export const endSessions: Verbs['endSessions'] = notYet;
export const eraseUser: Verbs['eraseUser'] = notYet;
