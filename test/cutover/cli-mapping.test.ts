/** `--mapping` and `--policy` as an operator gives them: files, and processes of the real program. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ObjectId, serialize } from 'bson';
import { afterAll, describe, expect, test } from 'vitest';
import { type Codec, DEFAULT_CODEC } from '../../db/canonical.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { readMapping } from '../../plugins/config/mapping.ts';
import { insertBytes } from '../copy/raw-mongo.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { openEngine } from '../support/engine.ts';
import { withDatabase } from '../support/mongo.ts';
import { newMongoDatabase, openPostgres, TIMEOUT_MS } from '../support/stores.ts';
import { cutover, inside, json, start } from './cli-program.ts';

const PASSPORT = fileURLToPath(new URL('../../docs/mappings/passport.json', import.meta.url));
/** For tests of many processes, on a machine that has other work. */
const LONG = { timeout: 240_000 };

const dir = mkdtempSync(join(tmpdir(), 'cli-mapping-test-'));
afterAll(() => rmSync(dir, { recursive: true }));
function fileOf(content: unknown): string {
  const name = join(dir, `${new ObjectId()}.json`);
  writeFileSync(name, typeof content === 'string' ? content : JSON.stringify(content));
  return name;
}

/** Documents under `dual-write`, and an instance that lives by the mapping. */
async function newSystem(codec: Codec, documents: readonly object[]) {
  const postgres = await openPostgres();
  const url = newMongoDatabase();
  const mongo = await openMongoStore({ url, codec, timeoutMs: TIMEOUT_MS });
  await mongo.migrate(() => {});
  await withDatabase(url, (db) => db.collection('users').insertMany([...documents]));
  const stores = { mongo, postgres: postgres.store };
  const { engine } = await openEngine('dual-write', { stores, mapping: codec.digest });
  afterAll(async () => {
    await engine.stop(0);
    await mongo.close();
  });
  const env = { MONGO_URL: url, DATABASE_URL: postgres.url, STORE_TIMEOUT: '10s' };
  const program = (...args: readonly string[]) => cutover([...args, '--json'], env);
  const rows = (text: string) => asSuperuser<Record<string, unknown>>(postgres.url, text);
  /** For what needs no process of its own. */
  const askedUnder = (own: Codec, ...args: readonly string[]) =>
    inside([...args, '--json'], async () => ({
      stores,
      codec: own,
      urls: { mongo: url, postgres: postgres.url },
      env: process.env,
      configuredMode: null,
      close: async () => {},
    }));
  const asked = (...args: readonly string[]) => askedUnder(codec, ...args);
  return { engine, env, url, program, asked, askedUnder, rows };
}

const person = (n: number, given: object = {}) => ({
  _id: new ObjectId(),
  local: { email: `Person${n}@Example.org`, password: HASH, verified: n % 2 === 0 },
  name: `Person ${n}`,
  phone: '1',
  createdAt: new Date(Date.UTC(2020, n)),
  ...given,
});

test(
  'documents of another shape are copied and verified under their mapping, and under no other',
  LONG,
  async () => {
    const people = [1, 2, 3].map((n) => person(n));
    const { url, program, asked, askedUnder, rows } = await newSystem(readMapping(PASSPORT), people);
    const copied = json('backfill', await program('backfill', '--no-snapshot', '--mapping', PASSPORT));
    expect(copied).toMatchObject({
      exitCode: 0,
      result: 'complete',
      counts: { inserted: 3, bad: 0 },
      unknownFields: { 'user.phone': 3 },
    });
    expect(
      await rows('select id, email, email_key, name, password_hash, is_verified from users order by name'),
    ).toEqual(
      people.map(({ _id, local, name }) => ({
        id: String(_id),
        email: local.email,
        email_key: local.email.toLowerCase(),
        name,
        password_hash: HASH,
        is_verified: local.verified,
      })),
    );
    expect(json('verify', await asked('verify'))).toMatchObject({
      exitCode: 0,
      clean: true,
      compared: 3,
    });
    expect(json('failure', await askedUnder(DEFAULT_CODEC, 'verify'))).toMatchObject({
      outcome: 'refused',
      exitCode: 3,
      error: { remedy: expect.stringMatching(/MONGO_MAPPING_FILE.*--mapping/) },
    });

    const odd = Buffer.from(serialize(legacyUser({ _id: { _bsonTYPE: 'x' } })));
    odd.write('_bsontype', odd.indexOf('_bsonTYPE'));
    expect(await insertBytes(url, 'users', [odd])).toMatchObject({ ok: 1, n: 1 });
    expect(json('verify', await asked('verify'))).toMatchObject({
      exitCode: 1,
      outcome: 'difference',
      differences: [
        { collection: 'users', id: expect.stringMatching(/^~\?/), kind: 'unreadable', fields: ['_id'] },
      ],
    });
  },
);

describe('a file that is no use ends with 2, and says where', () => {
  const nowhere = { MONGO_URL: 'mongodb://127.0.0.1:9/auth', DATABASE_URL: 'postgres://127.0.0.1:9/auth' };

  test.each<[string, string, unknown, RegExp]>([
    [
      '--mapping',
      'a field that is none',
      { user: { mail: 'email' } },
      /--mapping: user: mail: not known here; allowed are email/,
    ],
    [
      '--mapping',
      'a path that is none',
      { user: { email: 'a..b' } },
      /--mapping: user\.email\.0: must be a path/,
    ],
    ['--policy', 'a rule that is none', { default: 'oldest' }, /--policy: default: must be one of newest/],
    ['--policy', 'a key that is none', { rule: 'newest' }, /--policy: rule: not known here/],
    ['--policy', 'no JSON', 'newest', /--policy: holds no JSON: look at the unexpected e in line 1/],
    ['--policy', 'a key twice', '{"keep": {}, "keep": {}}', /--policy: keep: is there twice/],
  ])('%s: %s', LONG, async (option, _, content, expected) => {
    const args = ['backfill', option, fileOf(content)];
    // The program reads the mapping, and the verb the policy.
    const ended = await (option === '--mapping' ? cutover(args, nowhere) : inside(args));
    expect(ended).toMatchObject({ code: 2, out: '', err: expect.stringMatching(expected) });
  });

  test.each<[string, string, RegExp]>([
    ['no end', '{"user": ', /holds no JSON: look at its end/],
    [
      'a comma too many',
      '{"user": {"email": "a",}}',
      /holds no JSON: look at position 23 \(line 1 column 24\)/,
    ],
    [
      'text without quotes',
      '{\n  "description": "another service",\n  "user": {"email": emails}\n}',
      /holds no JSON: look at the unexpected e in line 3$/,
    ],
    [
      'two halves',
      '{"user": {"name": "a"}, "user": {"email": "b"}}',
      /^user: is there twice; put both together/,
    ],
    ['two entries', '{"user": {"email": ["a"], "em\\u0061il": "{"}}', /^user\.email: is there twice/],
  ])('a mapping with %s', (_, text, expected) => {
    const read = () => readMapping(fileOf(text));
    const problems = expect.objectContaining({ problems: [expect.stringMatching(expected)] });
    expect(read).toThrow(problems);
  });

  test('a mark of its encoding is none', () => {
    const text = '{"user": {"email": "e"}}';
    expect(readMapping(fileOf(`\uFEFF${text}`)).digest).toBe(readMapping(fileOf(text)).digest);
  });

  test('a file that is not there', LONG, async () => {
    const missing = join(dir, 'nothing.json');
    for (const option of ['--mapping', '--policy']) {
      const args = ['backfill', option, missing, '--json'];
      const ended = await (option === '--mapping' ? cutover(args, nowhere) : inside(args));
      expect(json('failure', ended).error.message).toMatch(`${option}: cannot be read (ENOENT)`);
      expect(ended.code).toBe(2);
    }
  });
});

test('a policy file says who of several keeps an e-mail', LONG, async () => {
  const shared = (n: number, given: object) =>
    person(n, { local: { email: ' Same@Example.org', password: HASH, ...given } });
  const [verified, recent, newest] = [
    shared(1, { verified: true }),
    { ...shared(2, {}), lastLogin: new Date('2024-05-06') },
    { ...shared(3, {}), lastLogin: new Date('2023-05-06') },
  ];
  const { asked, rows } = await newSystem(readMapping(PASSPORT), [verified, recent, newest, person(4)]);
  for (const [policy, winner] of [
    [{ default: 'newest' }, newest],
    [{ default: 'verified' }, verified],
    [{ default: 'most-recent-login' }, recent],
  ] as const) {
    const given = ['--no-snapshot', '--policy', fileOf(policy)];
    const { run, ...copied } = json('backfill', await asked('backfill', ...given));
    expect(copied, JSON.stringify(policy)).toMatchObject({
      exitCode: 0,
      result: 'complete',
      counts: { bad: 0, inserted: 2 },
    });
    expect(await rows(`select id from users where email_key = 'same@example.org'`)).toEqual([
      { id: String(winner._id) },
    ]);
    expect(json('verify', await asked('verify'))).toMatchObject({ exitCode: 0, excused: 2 });
    const undone = json('backfillUndone', await asked('backfill', 'rollback', run));
    expect(undone).toMatchObject({ removed: 2, spared: 0 });
  }
});

test('a run that was begun under one mapping is gone on with under no other', LONG, async () => {
  const people = Array.from({ length: 120 }, (_, n) => person(n));
  const { engine, env, asked, askedUnder, rows } = await newSystem(readMapping(PASSPORT), people);
  // No instance is left that could tell: only the runs know.
  await engine.stop(0);
  const slow = ['--mapping', PASSPORT, '--rate', '5', '--jobs', '1', '--json'];
  for (const [verb, resume, phase, more] of [
    [['backfill', '--no-snapshot'], ['backfill', 'resume'], 'copying', ['--no-snapshot']],
    [['verify'], ['verify', '--resume'], 'verifying', []],
  ] as const) {
    const begun = start([...verb, ...slow], env);
    await begun.sees(new RegExp(`"phase":"${phase}","documents":[1-9]`));
    begun.kill('SIGINT');
    const stopped = await begun.ended;
    expect(stopped.code).toBe(4);
    const run = /resume (?:run|verify) (\w+)/.exec(stopped.err)?.[1] ?? '';
    const refused = json('failure', await askedUnder(DEFAULT_CODEC, ...resume, run));
    expect(refused, verb[0]).toMatchObject({ outcome: 'refused', exitCode: 3 });
    const [own, other] = [readMapping(PASSPORT).digest, DEFAULT_CODEC.digest];
    expect(refused.error.message).toMatch(
      `${verb[0]} ${run} was begun with the mapping ${own}, and this one is ${other}: go on with the one`,
    );
    expect(refused.error.message).toMatch(/or (roll it back and )?begin another$/);
    expect(await rows('select id from users')).toHaveLength(verb[0] === 'verify' ? 120 : 0);
    const ended = await asked(...resume, run, ...more);
    expect(ended.code, ended.err).toBe(0);
  }
  expect(await rows('select id from users')).toHaveLength(120);
});
