/** What no server here shows: indexes that are being built, mongos, collations. By what a MongoDB would say. */
import mongoose from 'mongoose';
import { expect, it, test } from 'vitest';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { builtIndexes } from '../../db/mongo/built-indexes.ts';
import { indexesFor } from '../../db/mongo/indexes.ts';
import { isMigrated, migrate } from '../../db/mongo/migrate.ts';
import { obstaclesIn } from '../../db/mongo/obstacles.ts';
import { legacyDatabase } from './legacy.ts';

type Doc = mongoose.mongo.Document;

interface Said {
  readonly hello?: Doc;
  readonly collections?: readonly Doc[];
  /** Names of indexes of `users` that are being built. */
  readonly building?: readonly string[];
  /** What the next calls to drop an index fail with. */
  readonly dropErrors?: number[];
}

/** A database that says this, and holds all indexes of this service but for those of the old one's on `tokens`. */
function saying({ hello = {}, collections = [], building = [], dropErrors = [] }: Said) {
  const made: string[] = [];
  const asked: Doc[] = [];
  const specs = indexesFor(DEFAULT_CODEC);
  const ttl = { name: 'old_ttl', key: { createdAt: 1 }, expireAfterSeconds: 60 };
  let isOld = dropErrors.length > 0;
  const listed = (name: string): Doc[] => [
    ...(specs[name] ?? []).map((spec) =>
      name === 'users' && building.includes(spec.name) ? { spec, buildUUID: 'u' } : { ...spec },
    ),
    ...(name === 'password_reset_tokens' && isOld ? [ttl] : []),
  ];
  const db = {
    admin: () => ({ command: async () => hello }),
    listCollections: () => ({ toArray: async () => collections }),
    runCursorCommand(command: Doc) {
      asked.push(command);
      return { toArray: async () => listed(command['listIndexes']) };
    },
    collection: (name: string) => ({
      collectionName: name,
      async createIndex(_key: Doc, { name: index }: Doc) {
        made.push(`${name}.${index}`);
      },
      async dropIndex() {
        const code = dropErrors.shift();
        if (code !== undefined) throw new mongoose.mongo.MongoServerError({ message: 'refused', code });
        isOld = false;
      },
    }),
  };
  return { db: db as unknown as mongoose.mongo.Db, made, asked };
}

it('an index that is being built is not there yet: migrate asks for it, which waits for it', async () => {
  const { db, made, asked } = saying({ building: ['auth_email_key'] });
  expect(await isMigrated(db, DEFAULT_CODEC)).toBe(false);
  await migrate(db, DEFAULT_CODEC, () => {});
  expect(made).toEqual(['users.auth_email_key']);
  expect(new Set(asked.map(({ includeBuildUUIDs }) => includeBuildUUIDs))).toEqual(new Set([true]));
  expect(await isMigrated(saying({}).db, DEFAULT_CODEC)).toBe(true);
});

it('no index can be dropped beside one that is being built: migrate waits', async () => {
  const { db, made } = saying({ dropErrors: [12587, 12587] });
  const lines: string[] = [];
  await migrate(db, DEFAULT_CODEC, (line) => lines.push(line));
  expect(lines.filter((line) => line.includes('waiting'))).toEqual([
    'password_reset_tokens: waiting for an index that another is building, which may take long',
  ]);
  expect(made).toEqual(['password_reset_tokens.old_ttl']);
});

it('a server lists what is built as before', async () => {
  const { db } = await legacyDatabase();
  await db.collection('users').createIndex({ a: 1 }, { name: 'a', sparse: true });
  const indexes = await builtIndexes(db, 'users', 10_000);
  expect(indexes.map(({ name, key }) => [name, key])).toEqual([
    ['_id_', { _id: 1 }],
    ['a', { a: 1 }],
  ]);
});

const EN = { locale: 'en', strength: 2 };
const VALIDATOR = { $jsonSchema: { required: ['username'] } };

test.each<readonly [string, Doc, Doc & { readonly name: string }, readonly string[]]>([
  ['mongos', { msg: 'isdbgrid' }, { name: 'users', options: {} }, ['sharded']],
  [
    'a default collation',
    {},
    { name: 'users', type: 'collection', options: { collation: EN } },
    ['collation'],
  ],
  [
    'a capped collection',
    {},
    { name: 'users', type: 'collection', options: { capped: true, size: 1_048_576 } },
    ['capped'],
  ],
  ['a view', {}, { name: 'users', type: 'view', options: { viewOn: 'people' } }, ['view']],
  ['a validator', {}, { name: 'users', options: { validator: VALIDATOR } }, ['validator']],
  [
    'one that only warns',
    {},
    { name: 'users', options: { validator: VALIDATOR, validationAction: 'warn' } },
    [],
  ],
  ['one that is off', {}, { name: 'users', options: { validator: VALIDATOR, validationLevel: 'off' } }, []],
  ['nothing', { setName: 'rs0' }, { name: 'users', options: {} }, []],
])('%s is told: %o %o', async (_, hello, collection, kinds) => {
  const { db } = saying({ hello, collections: [collection] });
  expect((await obstaclesIn(db, DEFAULT_CODEC)).map(({ kind }) => kind)).toEqual(kinds);
  const isForbidding = kinds.some((kind) => kind !== 'validator');
  expect(await isMigrated(db, DEFAULT_CODEC)).toBe(!isForbidding);
  const lines: string[] = [];
  const migrated = migrate(db, DEFAULT_CODEC, (line) => lines.push(line));
  if (isForbidding) await expect(migrated).rejects.toThrow(/users|mongos/);
  else await migrated;
  expect(lines.some((line) => line.startsWith('users has a validator'))).toBe(kinds.includes('validator'));
});

test('a collection that this service does not use may be anything', async () => {
  const { db } = saying({ collections: [{ name: 'reports', type: 'view', options: {} }] });
  expect(await isMigrated(db, DEFAULT_CODEC)).toBe(true);
});
