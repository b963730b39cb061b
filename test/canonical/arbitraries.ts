/** Any BSON document, and any record of this service. */
import {
  Binary,
  BSONRegExp,
  Code,
  DBRef,
  Decimal128,
  Double,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
} from 'bson';
import fc from 'fast-check';
import { emailKey } from '../../db/email.ts';
import { encodeId } from '../../db/ids.ts';
import {
  REVOCATION_REASONS,
  type ResetTokenRecord,
  type SessionRecord,
  type UserRecord,
} from '../../db/records.ts';
import { FIELD_NAMES } from './default.ts';

const objectId = fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => new ObjectId(bytes));
const telling = fc.constantFrom<unknown>(
  'true',
  'yes',
  '0',
  '',
  'NULL',
  '2021-02-03T04:05:06+02:00',
  '2021-02-03',
  '1612324800',
  ' Ann@Example.org ',
  'a&amp;b@example.org',
  'o\u0000p@example.org',
  '\ud800@example.org',
  1_612_324_800,
  1_612_324_800_000,
  -1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  8.64e15,
  new Date(Number.NaN),
);

const bsonScalar = fc.oneof(
  telling,
  fc.string({ unit: 'binary' }),
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
  fc.double(),
  fc.integer(),
  fc.date({ noInvalidDate: false }),
  objectId,
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => Long.fromBigInt(n)),
  fc.integer().map((n) => new Int32(n)),
  fc.double().map((n) => new Double(n)),
  fc
    .constantFrom('0', '1.50', '1E+40', 'NaN', '-Infinity', '1612324800')
    .map((n) => Decimal128.fromString(n)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => new Binary(bytes)),
  fc.tuple(fc.nat(), fc.nat()).map(([t, i]) => new Timestamp({ t, i })),
  objectId.map((id) => new DBRef('users', id)),
  fc.constant(new Code('0', { a: 1 })),
  fc.constantFrom(new BSONRegExp('a', 'i'), new BSONRegExp('(?i)a', 'x')),
  fc.constant(new MinKey()),
  fc.constant(new MaxKey()),
);

const fieldNames = [
  '_id',
  'version',
  'epoch',
  ...FIELD_NAMES,
  'tokenHash',
  '_bsontype',
  '__proto__',
  'constructor',
  '$date',
  '$numberLong',
  '$oid',
].map((path) => path.split('.')[0] ?? path);

const { bsonValue } = fc.letrec<{ bsonValue: unknown; doc: object; array: unknown[] }>((tie) => ({
  bsonValue: fc.oneof({ depthSize: 'small' }, bsonScalar, tie('doc'), tie('array')),
  doc: fc.dictionary(
    fc.constantFrom('_id', 'address', 'verified', '$date', '$numberLong', '$oid', '_bsontype', 'x'),
    tie('bsonValue'),
    { maxKeys: 3 },
  ),
  array: fc.array(tie('bsonValue'), { maxLength: 3 }),
}));

/** Any value that a document may hold. */
export const anyBson = bsonValue;

/** Any document, most of its fields named like ones that mean something. */
export const anyDocument = fc.dictionary(fc.constantFrom(...fieldNames), anyBson, { maxKeys: 25 });

const text = fc.string({ unit: 'grapheme' });
const time = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const digest = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 });
const stamp = fc.record({ epoch: fc.nat({ max: 1_000_000 }), version: count });
const nullable = <T>(given: fc.Arbitrary<T>) => fc.option(given, { nil: null });
const id = fc
  .oneof(
    objectId,
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.boolean(),
    fc.date({ noInvalidDate: true }),
  )
  .map(encodeId);
const keyVersion = fc.oneof(
  fc.constantFrom('v1', 'v12', 'dev', '2026-11'),
  fc.stringMatching(/^[\w-]{1,16}$/),
);
const hash = fc
  .tuple(
    fc.oneof(
      fc.constant(''),
      keyVersion.map((version) => `{sha384:${version}}`),
    ),
    fc.constantFrom('a', 'b', 'y'),
    fc.integer({ min: 4, max: 16 }),
  )
  .map(
    ([prefix, kind, cost]) =>
      `${prefix}$2${kind}$${String(cost).padStart(2, '0')}$${'./aZ9'.repeat(11).slice(0, 53)}`,
  );
const email = fc.emailAddress();

export const userRecord: fc.Arbitrary<UserRecord> = fc
  .record({
    id,
    email,
    name: text,
    passwordHash: nullable(hash),
    isVerified: fc.boolean(),
    verifiedWith: nullable(id),
    sessionGeneration: count,
    resetGeneration: count,
    createdAt: time,
    updatedAt: time,
    deletedAt: nullable(time),
    stamp,
  })
  .map((user) => ({
    ...user,
    emailKey: emailKey(user.email),
    verifiedWith: user.isVerified ? user.verifiedWith : null,
    ...(user.deletedAt === null ? {} : { email: null, emailKey: null, name: '', passwordHash: null }),
  }));

export const resetToken: fc.Arbitrary<ResetTokenRecord> = fc.record({
  id,
  userId: id,
  tokenHash: digest,
  nonce: nullable(text),
  createdAt: time,
  expiresAt: time,
  mailDueAt: nullable(time),
  generation: count,
  stamp,
});

export const sessionRecord: fc.Arbitrary<SessionRecord> = fc
  .record({
    id,
    userId: id,
    generation: count,
    tokenHash: digest,
    previousTokenHash: nullable(digest),
    rotation: count,
    keyId: text,
    createdAt: time,
    rotatedAt: time,
    idleExpiresAt: time,
    expiresAt: time,
    revokedAt: nullable(time),
    revokedReason: fc.constantFrom(...REVOCATION_REASONS),
    userAgent: nullable(text.map((agent) => agent.slice(0, 256).toWellFormed())),
    stamp,
  })
  .map((session) => ({
    ...session,
    revokedReason: session.revokedAt === null ? null : session.revokedReason,
  }));
