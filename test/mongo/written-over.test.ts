/** What is written over a document of any shape is what is read in it from then on: by the very functions of a write. */
import { readdirSync, readFileSync } from 'node:fs';
import { EJSON, ObjectId } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pathOf } from '../../db/canonical/paths.ts';
import {
  assignments,
  type Codec,
  createCodec,
  DEFAULT_CODEC,
  type Doc,
  parseMapping,
  withValues,
} from '../../db/canonical.ts';
import { fieldsToSet } from '../../db/mongo/fields-to-set.ts';
import type { StoredDoc } from '../../db/mongo/models.ts';
import type { Entity, RecordOf, UserRecord } from '../../db/records.ts';
import { anyBson, anyDocument } from '../canonical/arbitraries.ts';
import type { LegacyCase } from '../copy/legacy/cases.ts';
import { RESET_TOKENS, VERIFICATION_TOKENS } from '../copy/legacy/tokens.ts';
import { USERS } from '../copy/legacy/users.ts';

const MAPPINGS = new URL('../../docs/mappings/', import.meta.url);
const CODECS: readonly (readonly [string, Codec])[] = [
  ['default', DEFAULT_CODEC],
  ...readdirSync(MAPPINGS).map((file): [string, Codec] => {
    const given: unknown = JSON.parse(readFileSync(new URL(file, MAPPINGS), 'utf8'));
    return [file, createCodec(parseMapping(given, DEFAULT_CODEC.mapping))];
  }),
];

const NOW = new Date('2026-11-29T10:00:00Z');
const OTHER_HASH = `$2b$10$${'z'.repeat(53)}`;
type TokenEntity = Exclude<Entity, 'user' | 'session'>;
type Step<E extends Entity> = (record: RecordOf[E]) => RecordOf[E];

/** What the service and its mirror do to a living user. */
const TO_USERS: Readonly<Record<string, Step<'user'>>> = {
  touch: (user) => user,
  verify: (user) => ({ ...user, isVerified: true, verifiedWith: 't', updatedAt: NOW }),
  'no longer verified': (user) => ({ ...user, isVerified: false, verifiedWith: null }),
  rename: (user) => ({ ...user, name: 'A &amp; B' }),
  'without a name': (user) => ({ ...user, name: '' }),
  'new password': (user) => ({ ...user, passwordHash: OTHER_HASH, sessionGeneration: 7 }),
  'without a password': (user) => ({ ...user, passwordHash: null }),
  'new e-mail': (user) => ({ ...user, email: 'New@example.org', emailKey: 'new@example.org' }),
};
const TO_TOKENS: Readonly<Record<string, Step<TokenEntity>>> = {
  touch: (token) => token,
  'mail sent': (token) => ({ ...token, mailDueAt: NOW }),
  'ends later': (token) => ({ ...token, expiresAt: new Date('2026-12-24T00:00:00Z') }),
};

/** In place, as `$set` would. */
const withSet = (doc: Doc, set: Doc): Doc =>
  withValues(
    doc,
    Object.entries(set).map(([path, value]) => ({ path: pathOf(path), value })),
  );

/** Writes a step's record over the document, twice, and reads it after each. */
function expectReadBack<E extends Entity>(codec: Codec, entity: E, given: Doc, step: Step<E>): void {
  let doc = given;
  for (const version of [1, 2]) {
    const read = codec.read(entity, doc);
    if ('bad' in read) throw new Error(JSON.stringify(read.bad));
    const want = { ...step(read.record), stamp: { epoch: 1, version } };
    const set = { ...assignments(doc, fieldsToSet(codec, entity, doc as StoredDoc, want)), ...want.stamp };
    doc = withSet(doc, set);
    expect(codec.read(entity, doc)).toMatchObject({ record: want });
  }
}

const isLiving = (user: UserRecord): boolean => user.deletedAt === null;

/** False when it cannot be read at all, so that nothing is written over it. */
function expectAllReadBack(codec: Codec, entity: 'user' | TokenEntity, doc: Doc): boolean {
  const read = codec.read(entity, doc);
  if ('bad' in read) return false;
  if (entity !== 'user') {
    for (const step of Object.values(TO_TOKENS)) expectReadBack(codec, entity, doc, step);
  } else if (!isLiving(read.record as UserRecord)) {
    expectReadBack(codec, 'user', doc, (user) => user);
  } else for (const step of Object.values(TO_USERS)) expectReadBack(codec, 'user', doc, step);
  return true;
}

const LEGACY = {
  _id: ObjectId.createFromHexString('6000000000000000000000aa'),
  email: 'ann@example.org',
  name: 'Ann',
  password: `$2b$10$${'a'.repeat(53)}`,
  isVerified: true,
  createdAt: new Date('2021-02-03T04:05:06.789Z'),
  updatedAt: new Date('2022-02-03T04:05:06.789Z'),
};

describe.each<[string, unknown]>([
  ['deletedAt', new Date('0001-01-01T00:00:00Z')],
  ['deletedAt', new Date(0)],
  ['deleted_at', new Date('0001-01-01T00:00:00Z')],
  ['deleted_at', new Date(0)],
  ['deleted_at', '0001-01-01T00:00:00Z'],
  ['deleted_at', '1970-01-01 00:00:00'],
  ['deleted_at', { $date: 0 }],
  ['isDeleted', new Date(0)],
  ['isDeleted', { $numberLong: '5' }],
  ['deleted', 2],
])('a living user of an old service that has %s: %o', (field, never) => {
  it.each(Object.entries(TO_USERS))('outlives a write of ours: %s', (_what, step) => {
    expectReadBack(DEFAULT_CODEC, 'user', { ...LEGACY, [field]: never }, step);
    expectReadBack(DEFAULT_CODEC, 'user', { ...LEGACY, deletedAt: null, [field]: never }, step);
  });

  it('and is dead once it is erased here', () => {
    const doc = { ...LEGACY, [field]: never };
    const read = DEFAULT_CODEC.read('user', doc);
    if ('bad' in read) throw new Error('bad');
    const gone = { email: null, emailKey: null, name: '', passwordHash: null, deletedAt: NOW };
    const want = { ...read.record, ...gone, stamp: { epoch: 1, version: 1 } };
    const set = { ...assignments(doc, fieldsToSet(DEFAULT_CODEC, 'user', doc, want)), ...want.stamp };
    expect(DEFAULT_CODEC.read('user', withSet(doc, set))).toMatchObject({ record: want });
  });

  it('and what the old service goes on writing there kills nobody', () => {
    const ours = {
      ...LEGACY,
      deletedAt: null,
      epoch: 1,
      version: 3,
      emailKey: 'ann@example.org',
      [field]: never,
    };
    expect(DEFAULT_CODEC.read('user', ours)).toMatchObject({ record: { deletedAt: null } });
  });
});

describe.each(CODECS)('under the mapping %s', (_name, codec) => {
  const { user, resetToken, verificationToken } = codec.mapping;
  const userPaths = [
    ...[user.email, user.name, user.nameParts, user.passwordHash],
    ...[user.createdAt.from, user.updatedAt.from, user.deletedAt.from],
    ...[user.isVerified.from, user.deleted, user.lockedOut].map((list) => list.map(({ path }) => path)),
  ].flat();
  const value = fc.oneof(
    fc.constantFrom<unknown>(
      ...[
        null,
        '',
        ' ',
        'A@b.example',
        LEGACY.password,
        'clear',
        'Ann &amp; B',
        true,
        false,
        'yes',
        'no',
        '0',
      ],
      ...[
        'active',
        'pending',
        'inactive',
        'verified',
        'deleted',
        'used',
        [],
        ['x'],
        {},
        { $numberLong: '5' },
      ],
      ...[0, 1, 2, -1, 5_000, 1_612_325_106, 1_612_325_106_789, '1612325106', '2021-02-03', '1970-01-01'],
      ...[new Date(0), new Date('0001-01-01T00:00:00Z'), new Date('2021-02-03'), new Date('9999-12-31')],
    ),
    anyBson,
  );
  const documents = (base: Readonly<Record<string, unknown>>, paths: readonly string[]) =>
    fc.dictionary(fc.constantFrom(...paths), value, { maxKeys: 4 }).map((given) =>
      withValues(
        { _id: LEGACY._id },
        Object.entries({ ...base, ...given }).map(([path, each]) => ({ path: pathOf(path), value: each })),
      ),
    );
  /** Any document, with what it cannot be read without. */
  const anyWith = (base: Readonly<Record<string, unknown>>) =>
    anyDocument.map((doc) =>
      withValues(
        doc as Doc,
        Object.entries({ _id: LEGACY._id, ...base }).map(([path, each]) => ({
          path: pathOf(path),
          value: each,
        })),
      ),
    );
  const places = { email: user.email[0] ?? '', hash: user.passwordHash[0] ?? '' };
  const wholeUser = { [places.email]: 'q@example.org', [places.hash]: LEGACY.password };
  const tokenPaths = ({ userId, token, createdAt, expiresAt, used }: typeof resetToken) =>
    [userId.from, token, createdAt.from, expiresAt.from, used.map(({ path }) => path)].flat();
  const wholeToken = ({ userId, token, expiresAt }: typeof resetToken) => ({
    [userId.from[0] ?? '']: new ObjectId('6000000000000000000000bb'),
    [token[0] ?? '']: 'clear',
    [expiresAt.from[0] ?? '']: new Date('2027-01-01T00:00:00Z'),
  });

  it.each<[string, 'user' | TokenEntity, fc.Arbitrary<Doc>]>([
    ['users', 'user', documents(wholeUser, userPaths)],
    ['reset tokens', 'resetToken', documents(wholeToken(resetToken), tokenPaths(resetToken))],
    [
      'verification tokens',
      'verificationToken',
      documents(wholeToken(verificationToken), tokenPaths(verificationToken)),
    ],
    ['any document as a user', 'user', anyWith(wholeUser)],
    ['any document as a reset token', 'resetToken', anyWith(wholeToken(resetToken))],
    ['any document as a verification token', 'verificationToken', anyWith(wholeToken(verificationToken))],
  ])('%s are read back as they were written over', (_what, entity, docs) => {
    let seen = 0;
    fc.assert(
      fc.property(docs, (doc) => {
        if (expectAllReadBack(codec, entity, doc)) seen += 1;
      }),
      { numRuns: 300 },
    );
    // It is about half of them where the fewest can be read.
    expect(seen).toBeGreaterThan(60);
  });
});

it.each<['user' | TokenEntity, readonly LegacyCase[]]>([
  ['user', USERS],
  ['verificationToken', VERIFICATION_TOKENS],
  ['resetToken', RESET_TOKENS],
])('so are the hand-written documents: %s', (entity, cases) => {
  for (const { what, document, literal, bad } of cases) {
    const parsed = EJSON.parse(JSON.stringify(document), { relaxed: false }) as Doc;
    const isReadBack = expectAllReadBack(DEFAULT_CODEC, entity, { ...parsed, ...literal });
    if (bad === undefined) expect(isReadBack, what).toBe(true);
  }
});

it('a write that would not be read back is refused, and named', () => {
  // A codec that writes names where it does not read them.
  const deaf: Codec = {
    ...DEFAULT_CODEC,
    write: (entity, record) =>
      DEFAULT_CODEC.write(entity, record).map((field) =>
        field.path.text === 'name' ? { ...field, path: pathOf('elsewhere') } : field,
      ),
  };
  const read = DEFAULT_CODEC.read('user', LEGACY);
  if ('bad' in read) throw new Error('bad');
  const renamed = { ...read.record, name: 'Eve', stamp: { epoch: 1, version: 1 } };
  expect(() => fieldsToSet(deaf, 'user', LEGACY as never, renamed)).toThrow(
    expect.objectContaining({
      name: 'StoreUnavailable',
      outcome: 'none',
      reason: 'unfaithful',
      message: expect.stringContaining('user 6000000000000000000000aa'),
    }),
  );
});
