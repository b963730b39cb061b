/**
 * The canonical record as fields of a document: the old service's places and types, with ours next to them. Reading
 * them back gives the same record.
 */

import type { Doc } from '../bson.ts';
import { erasedAddress } from '../email.ts';
import type {
  Entity,
  MailedToken,
  RecordOf,
  ResetTokenRecord,
  SessionRecord,
  Stamp,
  UserRecord,
} from '../records.ts';
import type { TokenFields, UserFields } from './compile.ts';
import { MILLISECONDS_FROM } from './dates.ts';
import { SESSION_FIELDS, STORE_FIELDS } from './fields.ts';
import type { Condition, Mapping, Scalar, TimeForm, TokenMapping, UserMapping } from './mapping.ts';
import { type Path, pathOf } from './paths.ts';
import { type Field, ownField, referenceValue } from './read.ts';
import { HASHED } from './token.ts';

export interface Written {
  readonly path: Path;
  /** What says whether two records differ here. */
  readonly plain: unknown;
  /** What the document holds. */
  readonly value: unknown;
}

/** Makes the fields of one record. Throws when an id in it is none that `encodeId` gives. */
export type Writer<E extends Entity> = (record: RecordOf[E]) => readonly Written[];

const asIs = (field: Field | Path, plain: unknown, value: unknown = plain): Written => ({
  path: 'paths' in field ? (field.paths[0] as Path) : field,
  plain,
  value,
});

/** Other ids are no text to begin with, or the same text either way. */
const HEX24 = /^[0-9a-f]{24}$/;

const ID = pathOf('_id');
const EPOCH = pathOf(STORE_FIELDS.epoch);
const VERSION = pathOf(STORE_FIELDS.version);
const EMAIL_KEY = pathOf(STORE_FIELDS.emailKey);

const stampFields = (stamp: Stamp): readonly Written[] => [
  asIs(EPOCH, stamp.epoch),
  asIs(VERSION, stamp.version),
];

/** As the old service wrote its times; every form is read back to the same millisecond. */
export function encodeTime(date: Date | null, as: TimeForm): unknown {
  if (date === null || as === 'date') return date;
  if (as === 'iso') return date.toISOString();
  return as === 'milliseconds' ? date.getTime() : date.getTime() / 1000;
}

/** See `Codec.before`. */
export function before(date: Date, as: TimeForm): Doc {
  const $lt = encodeTime(date, as);
  // Digits, and names of days, are text as well.
  if (as === 'iso') return { $lt, $regex: '^[0-9]{4}-' };
  return as === 'milliseconds' ? { $gte: MILLISECONDS_FROM, $lt } : { $lt };
}

function userWriter(mapping: UserMapping, fields: UserFields): Writer<'user'> {
  const flag = flagEncoder(mapping);
  const deletion = deletionWriter(mapping);
  const { createdAt, updatedAt, deletedAt } = mapping;
  return (user) => {
    const email = user.email ?? erasedAddress(user.id);
    return [
      asIs(ID, referenceValue(user.id)),
      asIs(fields.email, email),
      asIs(EMAIL_KEY, user.emailKey ?? false),
      asIs(fields.name, user.name),
      asIs(fields.passwordHash, user.passwordHash ?? ''),
      asIs(fields.isVerified, user.isVerified, flag(user)),
      asIs(fields.verifiedWith, user.verifiedWith),
      asIs(fields.sessionGeneration, user.sessionGeneration),
      asIs(fields.resetGeneration, user.resetGeneration),
      asIs(fields.createdAt, user.createdAt, encodeTime(user.createdAt, createdAt.as)),
      asIs(fields.updatedAt, user.updatedAt, encodeTime(user.updatedAt, updatedAt.as)),
      asIs(fields.deletedAt, user.deletedAt, encodeTime(user.deletedAt, deletedAt.as)),
      ...deletion(user),
      ...stampFields(user.stamp),
    ];
  };
}

/** How it is written whether the user is verified. */
function flagEncoder({ isVerified, updatedAt }: UserMapping): (user: UserRecord) => unknown {
  const [first] = isVerified.from;
  const write = first?.write ?? null;
  if (write !== null) return (user) => (user.isVerified ? write.yes : write.no);
  if (first?.not === true) return (user) => !user.isVerified;
  if (isVerified.as === 'number') return (user) => Number(user.isVerified);
  if (isVerified.as === 'boolean') return (user) => user.isVerified;
  // Where other places may say yes, null would leave it to them.
  const no = isVerified.from.length > 1 ? false : null;
  return (user) => (user.isVerified ? encodeTime(user.updatedAt, updatedAt.as) : no);
}

/** So that the old service sees a tombstone as deleted, too: by the first condition it knows. */
function deletionWriter({ deleted, isVerified }: UserMapping): (user: UserRecord) => readonly Written[] {
  const [first] = deleted;
  // A state that isVerified is written to stays its own: `deletedAt` tells.
  if (first === undefined || !first.write || isVerified.from[0]?.path === first.path) return () => [];
  const path = pathOf(first.path);
  const witness = witnessOf(first);
  const { otherwise } = first;
  return ({ deletedAt }) => {
    if (deletedAt !== null) return [asIs(path, true, witness)];
    return otherwise === null ? [] : [asIs(path, false, otherwise)];
  };
}

const witnessOf = ({ is, values: [value] }: Condition): Scalar => value ?? is === 'truthy';

function tokenWriter(mapping: TokenMapping, fields: TokenFields): Writer<'verificationToken'> {
  const isText = mapping.userId.as === 'text';
  return (token: MailedToken) => {
    const userId = referenceValue(token.userId);
    return [
      asIs(ID, referenceValue(token.id)),
      asIs(fields.userId, userId, isText && HEX24.test(token.userId) ? token.userId : userId),
      asIs(fields.token, HASHED + token.tokenHash),
      asIs(fields.nonce, token.nonce),
      asIs(fields.createdAt, token.createdAt, encodeTime(token.createdAt, mapping.createdAt.as)),
      asIs(fields.expiresAt, token.expiresAt, encodeTime(token.expiresAt, mapping.expiresAt.as)),
      asIs(fields.mailDueAt, token.mailDueAt),
      ...stampFields(token.stamp),
    ];
  };
}

function resetTokenWriter(mapping: TokenMapping, fields: TokenFields): Writer<'resetToken'> {
  const write = tokenWriter(mapping, fields);
  return (token: ResetTokenRecord) => [...write(token), asIs(fields.generation, token.generation)];
}

const SESSION_PATHS = SESSION_FIELDS.map((name) => [name, ownField(name)] as const);

const sessionWriter: Writer<'session'> = (session: SessionRecord) => [
  asIs(ID, referenceValue(session.id)),
  ...SESSION_PATHS.map(([name, field]) =>
    asIs(field, name === 'userId' ? referenceValue(session.userId) : session[name]),
  ),
  ...stampFields(session.stamp),
];

export type Writers = { readonly [E in Entity]: Writer<E> };

export function writersOf(
  mapping: Mapping,
  fields: {
    readonly user: UserFields;
    readonly verificationToken: TokenFields;
    readonly resetToken: TokenFields;
  },
): Writers {
  return {
    user: userWriter(mapping.user, fields.user),
    verificationToken: tokenWriter(mapping.verificationToken, fields.verificationToken),
    resetToken: resetTokenWriter(mapping.resetToken, fields.resetToken),
    session: sessionWriter,
  };
}
