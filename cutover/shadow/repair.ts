/**
 * Makes the mirror follow where it was found to differ. Where the authority has the record, it is touched there under
 * a stamp above both, so that its state arrives again; a record that only the other store has is moved aside.
 */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { compareStamps } from '../../db/records.ts';
import type { Environment } from '../environment.ts';
import { mayPutAway } from '../history.ts';
import type { Member, WorkPermit } from '../instance/member.ts';
import { readAll, type Sides } from './look.ts';
import type { RecordName } from './records.ts';
import { isHeld, judgeRecord, type Seen } from './verdict.ts';
import { within } from './within.ts';

export interface RepairOptions {
  readonly environment: Environment;
  readonly member: Member;
  readonly sides: Sides;
  readonly authority: Store;
  readonly other: Store;
  readonly epoch: number;
  readonly expiredBefore: Date;
  readonly timeoutMs: number;
  /** Whether nothing may be written to the other store. */
  readonly isOtherFenced: () => Promise<boolean>;
}

/** Whether the record was brought on its way. False too when it matches by now, is on its way already, or may not be touched. */
export async function repair(name: RecordName, options: RepairOptions): Promise<boolean> {
  const { environment, member, sides, timeoutMs } = options;
  const permit = member.permitWork();
  if (permit === null || permit.ticket.epoch !== options.epoch) return false;
  const other = (await sides.other((replica) => readAll(replica, [name])))(name);
  const authority = (await sides.authority((replica) => readAll(replica, [name])))(name);
  if (judgeRecord(authority, other, options.expiredBefore).kind === 'match') return false;
  const write = writeFor(name, authority, other, options);
  if (write === null || (await options.isOtherFenced())) return false;
  if (hasMore(authority, other) && !(await mayPutAwayNow(options))) return false;
  const begun = beginRepair(permit);
  if (begun === null) return false;
  try {
    const done = await within(environment, timeoutMs, write);
    begun.settle();
    return done;
  } catch (error) {
    if (error instanceof StoreUnavailable && error.outcome === 'none') begun.settle();
    else begun.settleLater();
    throw error;
  }
}

/** Whether the other store holds what the authority does not, by a stamp that is no lower. */
function hasMore(authority: Seen, other: Seen): boolean {
  if (!isHeld(other)) return false;
  return !isHeld(authority) || compareStamps(other.record.stamp, authority.record.stamp) >= 0;
}

async function mayPutAwayNow({ member, authority }: RepairOptions): Promise<boolean> {
  const record = member.record();
  return record !== null && mayPutAway(record, authority);
}

/** After the last read that the repair builds on. */
function beginRepair(permit: WorkPermit): ReturnType<WorkPermit['beginRepair']> {
  return permit.mayContinue() ? permit.beginRepair() : null;
}

function writeFor(
  { entity, id }: RecordName,
  authority: Seen,
  other: Seen,
  options: RepairOptions,
): (() => Promise<boolean>) | null {
  const held = isHeld(other) ? other.record.stamp : null;
  if (authority === null && held !== null) {
    const move = { expected: held, reason: 'missing-in-authority', now: options.environment.date() };
    return () => options.other.replica.moveAside(entity, id, move);
  }
  // A marked record is on its way to the mirror already.
  if (!isHeld(authority) || authority.pendingAt !== null) return null;
  const expected = authority.record.stamp;
  if (Math.max(expected.epoch, held?.epoch ?? 0) > options.epoch) return null;
  const to = { epoch: options.epoch, version: Math.max(expected.version, held?.version ?? 0) + 1 };
  return () => options.authority.replica.touch(entity, id, { expected, to });
}
