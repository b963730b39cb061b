/**
 * Whether PostgreSQL still goes on the history that the copy counts on. Where it does not, it may lack what was acknowledged
 * last: as the mirror what was mirrored to it, as the authority its own, of which MongoDB then has more.
 */
import type { Store } from '../db/port.ts';
import { authorityOf, historyOf, isAuthorityBehind } from './mode.ts';
import { hasLeftHistory } from './protocol/changes.ts';
import type { ControlRecord } from './protocol/types.ts';

/** PostgreSQL is asked only where the copy counts on one. */
export async function hasLeft(record: ControlRecord, postgres: Store | null): Promise<boolean> {
  if (postgres === null || historyOf(record.copy) === null) return false;
  return hasLeftHistory(record, await postgres.history());
}

/**
 * Whether what the mirror has, and the authority has not, may be gone over or moved aside. To be asked after the authority was
 * read: should it be replaced only then, what was read was still whole.
 */
export async function mayPutAway(record: ControlRecord, authority: Store): Promise<boolean> {
  if (authorityOf(record.mode) !== 'postgres') return true;
  if (isAuthorityBehind(record.copy)) return false;
  return !(await hasLeft(record, authority));
}
