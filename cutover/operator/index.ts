/**
 * The operator's verbs. Each takes the stores and nothing else of the running system, and works with every instance down.
 * They reject with `AuthorityUnknown` or `StoreUnavailable` when the store it takes does not answer, with
 * `UnreadableControl` when a record is another version's, and with `WrongArgument` for an argument that cannot be.
 */
export { abort } from './abort.ts';
export { AuthorityUnknown } from './errors.ts';
export { failover } from './failover.ts';
export { conflicts, differences, foreign, log, pending, poisoned } from './lists.ts';
export { move } from './move.ts';
export { planMove } from './plan.ts';
export { setSetting } from './settings.ts';
export { readSituation } from './situation.ts';
export { readStatus } from './status.ts';
export type * from './types.ts';
export { endSessions, eraseUser } from './users.ts';
