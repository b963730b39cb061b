/** Whole records, stamp included, as an applier has them. */
import type { Store } from '../../../db/port.ts';
import type {
  Entity,
  RecordOf,
  ResetTokenRecord,
  SessionRecord,
  UserRecord,
  VerificationTokenRecord,
} from '../../../db/records.ts';
import type { ApplyOutcome, Held } from '../../../db/replica.ts';
import { newSession, newUser, newVerificationToken } from '../fixtures.ts';

/** Above every epoch the cases write under. */
export const UNDER = { epoch: 100, expiredBefore: new Date('1975-01-01T00:00:00Z') };

type Version = readonly [epoch: number, version: number];

const stampOf = ([epoch, version]: Version) => ({ stamp: { epoch, version } });

export function userAt(at: Version, given: Partial<UserRecord> = {}): UserRecord {
  return { ...newUser(given), ...stampOf(at) };
}

export function tombstoneAt(at: Version, user: UserRecord, deletedAt: Date): UserRecord {
  const empty = { email: null, emailKey: null, name: '', passwordHash: null };
  return { ...user, ...empty, deletedAt, updatedAt: deletedAt, ...stampOf(at) };
}

export function verificationAt(
  at: Version,
  userId: string,
  given: Partial<VerificationTokenRecord> = {},
): VerificationTokenRecord {
  return { ...newVerificationToken(userId, given), ...stampOf(at) };
}

export function resetAt(at: Version, userId: string): ResetTokenRecord {
  return { ...newVerificationToken(userId), generation: 3, ...stampOf(at) };
}

export function sessionAt(at: Version, userId: string, given: Partial<SessionRecord> = {}): SessionRecord {
  return { ...newSession(userId, given), ...stampOf(at) };
}

/** The same record in a later state. */
export function next<T extends UserRecord>(user: T, at: Version, given: Partial<T> = {}): T {
  return { ...user, ...given, ...stampOf(at) };
}

/** Kinds of the outcomes, in order. */
export async function applyTo<E extends Entity>(
  { replica }: Store,
  entity: E,
  ...records: RecordOf[E][]
): Promise<readonly ApplyOutcome['kind'][]> {
  return (await replica.apply(entity, records, UNDER)).map(({ kind }) => kind);
}

/** The record as the store holds it; it must be there. */
export async function heldBy<E extends Entity>({ replica }: Store, entity: E, id: string): Promise<Held<E>> {
  const { found } = await replica.read(entity, [id]);
  const held = found.get(id);
  if (held === undefined) throw new Error(`no such ${entity}`);
  return held;
}

/** Takes every mark off. */
export async function unmarkAll({ replica }: Store): Promise<void> {
  for (;;) {
    const marks = await replica.marks({ limit: 100 });
    if (marks.length === 0) return;
    await replica.clearMarks(marks);
  }
}
