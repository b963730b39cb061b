/** The reads of the port that can be compared, and answered by either store. */
import type { Repository } from '../../db/port.ts';
import type { Entity, RecordOf } from '../../db/records.ts';
import type { ReadOperation } from '../router.ts';
import type { RecordName } from './records.ts';

export type ArgsOf<K extends ReadOperation> = Parameters<Repository[K]>;
export type AnswerOf<K extends ReadOperation> = Awaited<ReturnType<Repository[K]>>;

/** What the operation is about, when no single record is to blame. */
export const ENTITY_OF: Readonly<Record<ReadOperation, Entity>> = {
  findUser: 'user',
  findUserByEmail: 'user',
  findSession: 'session',
  listSessions: 'session',
  findVerificationToken: 'verificationToken',
  findResetToken: 'resetToken',
  listDueMail: 'verificationToken',
};

/** The list of due mail is a worker's, differs by nature while mails go out, and no client sees it. */
export function isCompared(operation: ReadOperation): boolean {
  return operation !== 'listDueMail';
}

export function runRead<K extends ReadOperation>(
  repository: Repository,
  operation: K,
  args: ArgsOf<K>,
): Promise<AnswerOf<K>> {
  // The compiler does not see that an operation's own arguments fit it once the operation is a type parameter.
  const read = repository[operation] as (this: Repository, ...args: ArgsOf<K>) => Promise<AnswerOf<K>>;
  return read.apply(repository, args);
}

export type AnyRecord = {
  readonly [E in Entity]: { readonly entity: E; readonly record: RecordOf[E] };
}[Entity];

/** Every record in an answer, in its order, and what else it says. */
export interface Parts {
  readonly records: readonly AnyRecord[];
  readonly said: string;
}

const PARTS: { readonly [K in ReadOperation]: (answer: NonNullable<AnswerOf<K>>) => readonly AnyRecord[] } = {
  findUser: (record) => [{ entity: 'user', record }],
  findUserByEmail: (record) => [{ entity: 'user', record }],
  findSession: ({ session, user }) => [{ entity: 'session', record: session }, ...userOf(user)],
  listSessions: (sessions) => sessions.map((record) => ({ entity: 'session', record })),
  findVerificationToken: ({ token, user }) => [
    { entity: 'verificationToken', record: token },
    ...userOf(user),
  ],
  findResetToken: ({ token, user }) => [{ entity: 'resetToken', record: token }, ...userOf(user)],
  listDueMail: () => [],
};

export function partsOf<K extends ReadOperation>(operation: K, answer: AnswerOf<K>): Parts {
  if (answer === null) return { records: [], said: 'nothing' };
  const said = 'superseded' in answer && answer.superseded ? 'superseded' : '';
  return { records: PARTS[operation](answer), said };
}

const BY_ID: { readonly [K in ReadOperation]?: (args: ArgsOf<K>) => RecordName } = {
  findUser: ([id]) => ({ entity: 'user', id }),
  findSession: ([id]) => ({ entity: 'session', id }),
};

/** The records that make up the answer of a read by id, the one that was asked for first; null for any other read. */
export function namesById<K extends ReadOperation>(
  operation: K,
  args: ArgsOf<K>,
  { records }: Parts,
): readonly RecordName[] | null {
  const named = BY_ID[operation];
  if (named === undefined) return null;
  return records.length === 0 ? [named(args)] : records.map(({ entity, record: { id } }) => ({ entity, id }));
}

function userOf(record: RecordOf['user'] | null): readonly AnyRecord[] {
  return record === null ? [] : [{ entity: 'user', record }];
}
