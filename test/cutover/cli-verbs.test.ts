/** The verbs on real stores with a real instance; as processes where one shows what the program itself does. */
import mongoose from 'mongoose';
import pg from 'pg';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { diagnose } from '../../cutover/cli/failures.ts';
import { fromLease, readControl } from '../../cutover/control.ts';
import type { Engine } from '../../cutover/engine.ts';
import type { Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { AuthorityUnknown } from '../../cutover/operator/index.ts';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import type { Store } from '../../db/port.ts';
import { newAccount } from '../contract/fixtures.ts';
import { openEngine } from '../support/engine.ts';
import { type OnEnd, openMongo, openPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { cutover, type Env, inside, json, start, startOnTerminal } from './cli-program.ts';
import { createWorld } from './operator-world.ts';
import { announce, setIn } from './support/control.ts';

interface System {
  readonly engine: Engine;
  readonly mongo: Store;
  readonly postgres: Store;
  readonly env: Env;
}

/** One instance on databases of its own; it stops with the test, unless told otherwise. */
async function newSystem(mode: Mode, onEnd: OnEnd = onTestFinished): Promise<System> {
  const [mongo, postgres] = await Promise.all([openMongo(onEnd), openPostgres(undefined, onEnd)]);
  const stores = { mongo: mongo.store, postgres: postgres.store };
  const { engine } = await openEngine(mode, { stores });
  onEnd(() => engine.stop(0));
  const env = { MONGO_URL: mongo.url, DATABASE_URL: postgres.url, STORE_TIMEOUT: '10s' };
  return { engine, mongo: mongo.store, postgres: postgres.store, env };
}

/** For what needs no process of its own. */
const asked = ({ mongo, postgres }: Pick<System, 'mongo' | 'postgres'>, ...args: readonly string[]) =>
  inside(args, async () => ({ stores: { mongo, postgres }, configuredMode: null, close: async () => {} }));

const modeOf = async (store: Store) => (await readControl(store))?.mode;

/** Both databases, to the last byte. */
async function dump({ env }: System): Promise<string> {
  const mongo = await mongoose.mongo.MongoClient.connect(env['MONGO_URL'] ?? '');
  const postgres = new pg.Client({ connectionString: env['DATABASE_URL'] });
  await postgres.connect();
  try {
    const found: Record<string, unknown> = {};
    for (const { name } of await mongo.db().listCollections().toArray()) {
      found[name] = await mongo.db().collection(name).find().sort({ _id: 1 }).toArray();
    }
    const tables = await postgres.query<{ name: string }>(
      "select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables " +
        "where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'",
    );
    for (const { name } of tables.rows) {
      const rows = await postgres.query(
        `select ctid::text, xmin::text, to_jsonb(t) from ${name} t order by 1`,
      );
      found[name] = rows.rows;
    }
    return JSON.stringify(found, null, 1);
  } finally {
    await Promise.all([mongo.close(), postgres.end()]);
  }
}

test('without a system every verb says that an instance has to come first', async () => {
  const [mongo, postgres] = await Promise.all([
    openMongo(onTestFinished),
    openPostgres(undefined, onTestFinished),
  ]);
  const ended = await asked({ mongo: mongo.store, postgres: postgres.store }, 'status', '--json');
  expect(json('failure', ended)).toMatchObject({ outcome: 'refused', error: { store: null } });
  expect(ended.err).toMatch(/no system has been started yet.*\n.*start an instance/);
});

test('an authority that answers again is not taken for a system that was never started', async () => {
  const world = createWorld();
  await world.start(1, 'mongo-only');
  const lost = new AuthorityUnknown('mongo has authority, as far as is known, and does not answer');
  const told = await world.clock.run(diagnose(lost, world.stores));
  expect(told).toMatchObject({ outcome: 'unreachable', remedy: expect.stringContaining('run it again') });
  await world.stop();
});

/** For tests of many processes, on a machine that has other work. */
const LONG_MS = 120_000;

describe('moves', () => {
  test(
    'the ladder up and back: gates refuse, --force is recorded, the pause is told',
    async () => {
      const system = await newSystem('dual-write');
      const run = async (...args: string[]) => json('move', await asked(system, ...args, '--json'));
      // However long the machine stands still, no attempt is taken back for it.
      await setIn(system.mongo, 'deadline-ms', 60_000);
      await setIn(system.mongo, 'fence-max-ms', 50_000);

      expect(await run('promote')).toMatchObject({
        outcome: 'done',
        before: { mode: 'dual-write' },
        after: { mode: 'shadow-read' },
        made: [{ from: 'dual-write', to: 'shadow-read' }],
        longestPauseMs: null,
      });
      const refused = await run('promote');
      expect(refused).toMatchObject({ outcome: 'refused', made: [], after: { mode: 'shadow-read' } });
      expect(refused.failing.map(({ name }) => name)).toContain('comparisons');

      const forcing = ['promote', '--force', '--reason', 'a rehearsal', '--json'];
      const forced = json('move', await cutover(forcing, system.env));
      expect(forced).toMatchObject({ outcome: 'done', after: { mode: 'postgres-primary', epoch: 2 } });
      expect(forced.longestPauseMs).toBeGreaterThanOrEqual(0);
      expect(forced.overridden.map(({ name }) => name)).toEqual(refused.failing.map(({ name }) => name));
      expect(await modeOf(system.mongo)).toBe('postgres-primary');

      const back = await asked(system, 'rollback', '--force', '--reason', 'a rehearsal');
      expect(back).toMatchObject({ code: 0 });
      expect(back.out).toMatch(/^done: postgres-primary → shadow-read\nbefore +postgres-primary · epoch 2 /);
      expect(back.out).toMatch(/\nlongest pause \d.*, 1 attempt\n/);
      expect(back.err).toMatch(/^\[[\d.]+ m?s\] /);

      const { events } = json('log', await asked(system, 'log', '--json', '--limit', '20'));
      expect(events.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['moved', 'forced', 'refused']));
      expect(events.find(({ kind }) => kind === 'forced')?.details).toMatchObject({ reason: 'a rehearsal' });
      const times = events.map(({ at }) => at);
      expect(times).toEqual(times.toSorted().reverse());
    },
    LONG_MS,
  );

  test(
    'into dual-write only with the statement: by option, or asked for on a terminal',
    async () => {
      const system = await newSystem('mongo-only');
      const { env, mongo } = system;
      const refused = json('move', await asked(system, 'promote', '--json'));
      expect(refused).toMatchObject({ outcome: 'refused', after: { mode: 'mongo-only' } });
      expect(refused.failing.map(({ remedy }) => remedy).join()).toContain('--no-foreign-writers');

      const unwilling = startOnTerminal(['promote'], env);
      await unwilling.sees(/nothing else writes to MongoDB: /);
      unwilling.type('hm\n');
      const { code: unwillingCode, out: shown } = await unwilling.ended;
      expect(unwillingCode).toBe(3);
      expect(shown).toContain('\u001b[31m✗');
      expect(await modeOf(mongo)).toBe('mongo-only');

      const declining = startOnTerminal(['promote'], env);
      await declining.sees(/nothing else writes to MongoDB: /);
      declining.type('\u0004');
      expect(await declining.ended).toMatchObject({ code: 3 });
      expect(await modeOf(mongo)).toBe('mongo-only');

      const willing = startOnTerminal(['promote'], { ...env, NO_COLOR: '1' });
      await willing.sees(/nothing else writes to MongoDB: /);
      willing.type('none\n');
      const { code, out } = await willing.ended;
      expect(code).toBe(0);
      expect(out).toContain('done: mongo-only → dual-write');
      // Only the progress line is ever steered, by a carriage return and an erased line.
      expect(out.replaceAll('\u001b[2K', '')).not.toContain('\u001b[3');
      expect(await modeOf(mongo)).toBe('dual-write');

      const stated = json('move', await asked(system, 'rollback', '--json'));
      expect(stated).toMatchObject({
        outcome: 'done',
        after: { mode: 'mongo-only', copy: { kind: 'stale' } },
      });
      expect(json('move', await asked(system, 'promote', '--no-foreign-writers', '--json'))).toMatchObject({
        outcome: 'done',
      });
    },
    LONG_MS,
  );

  test(
    'Ctrl-C during a change of authority takes it back',
    async () => {
      const { engine, mongo, env } = await newSystem('shadow-read');
      await engine.stop(0);
      const record = await readControl(mongo);
      // An instance that lives and never acknowledges: the coordinator waits for it.
      let isOver = false;
      const deaf = (async () => {
        for (let counter = 1; !isOver; counter += 1) {
          const row = {
            incarnation: 1,
            epoch: 1,
            revision: record?.revision ?? 0,
            ack: null,
            // So long that nobody takes it for dead, should this process stand still.
            leaseMs: 60_000,
          };
          const reaches = ['mongo', 'postgres'] as const;
          await mongo.books.writeLease(
            fromLease(
              { instance: 'deaf', counter, ...row },
              { reaches, p99Ms: null, mapping: DEFAULT_CODEC.digest, host: null },
            ),
          );
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      })();
      onTestFinished(async () => {
        isOver = true;
        await deaf;
      });
      const moving = start(['promote', '--force', '--reason', 'a test', '--json', '--timeout', '120'], env);
      await eventually(
        async () => expect((await readControl(mongo))?.transition).toMatchObject({ phase: 'announced' }),
        { timeoutMs: 25_000 },
      );
      moving.kill('SIGINT');
      const answer = json('interruptedMove', await moving.ended);
      expect(answer).toMatchObject({
        outcome: 'aborted',
        exitCode: 4,
        after: { mode: 'shadow-read', epoch: 1, transition: null },
      });
      expect((await readControl(mongo))?.transition).toBeNull();
    },
    LONG_MS,
  );
});

test(
  'what only reads changes nothing, with every instance down',
  async () => {
    const system = await newSystem('shadow-read');
    await system.engine.repository.createAccount(newAccount());
    await system.engine.stop(5_000);
    const before = await dump(system);
    const run = (...args: string[]) => asked(system, ...args, '--json');
    const status = json('status', await run('status'));
    expect(status).toMatchObject({
      outcome: 'done',
      mode: 'shadow-read',
      instances: [],
      rollback: { to: 'dual-write', lossless: true },
      next: [
        { to: 'postgres-primary', allowed: false },
        { to: 'dual-write', allowed: true },
      ],
    });
    const plan = json('plan', await run('promote', '--dry-run'));
    expect(plan).toMatchObject({ outcome: 'refused', from: 'shadow-read', to: 'postgres-primary' });
    expect(plan.steps.length).toBeGreaterThan(3);
    expect(json('plan', await run('promote', '--dry-run', '--force', '--reason', 'r')).outcome).toBe('done');
    expect(json('plan', await run('rollback', '--dry-run', '--to', 'mongo-only')).moves).toHaveLength(2);
    expect(json('plan', await run('rollback', '--dry-run', '--to', 'postgres-only'))).toMatchObject({
      outcome: 'refused',
      from: null,
    });
    expect(json('pending', await run('pending')).outcome).toBe('done');
    expect(json('conflicts', await run('conflicts')).conflicts).toEqual([]);
    expect(json('diffs', await run('diffs')).differences).toEqual([]);
    expect(json('foreign', await run('foreign')).writes).toEqual([]);
    expect(json('log', await run('log')).events.length).toBeGreaterThan(0);
    expect(json('settings', await run('set')).settings).toContainEqual(
      expect.objectContaining({ key: 'shadow-sample', value: 1, default: 1, changed: false }),
    );
    const text = await cutover(['promote', '--dry-run'], system.env);
    expect(text.code).toBe(3);
    expect(text.out).toMatch(/^from shadow-read to postgres-primary; nothing is changed now\n +1\. /);
    expect(text.out).toMatch(/✓ reachable .*\(required: PostgreSQL answers/);
    expect(text.out).toMatch(/✗ comparisons .*\n +required: .*10,?000.*\n +remedy: /);
    expect(await dump(system)).toBe(before);
  },
  LONG_MS,
);

describe('a system in dual-write', { timeout: LONG_MS }, async () => {
  const system = await newSystem('dual-write', afterAll);

  test('status for people', async () => {
    const { env, engine } = system;
    const own = { BACKEND_MODE: 'mongo-only', STORE_TIMEOUT: '9s' };
    const { code, out, err } = await cutover(['status'], { ...env, ...own });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^mode +dual-write {2}\(BACKEND_MODE says mongo-only/);
    expect(out).toMatch(/\ncopy +complete since .*\(started-empty\)/);
    expect(out).toMatch(/\n {2}mongo +authority +reachable/);
    expect(out).toMatch(/\ntime-out +9 s \(STORE_TIMEOUT/);
    expect(out).toMatch(new RegExp(`\n {2}${engine.status().instance} +current +epoch 1`));
    expect(out).toMatch(/\npromote to shadow-read: possible now\n/);
  });

  test('status --watch: one object a line until Ctrl-C, and that is no failure', async () => {
    const { env } = system;
    const watching = start(['status', '--watch', '--json'], env);
    await watching.sees(/\}\n\{.*\}\n/);
    watching.kill('SIGINT');
    const { code, out, err } = await watching.ended;
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const line of out.trim().split('\n')) json('status', { code: 0, out: line, err });
  });

  test('a mirror out of reach: everything else is shown, and 5', async () => {
    const { env } = system;
    const away = { ...env, DATABASE_URL: 'postgres://u:planted-word@127.0.0.1:9/x' };
    const ended = await cutover(['status', '--json'], away);
    expect(json('status', ended)).toMatchObject({ outcome: 'unreachable', mode: 'dual-write' });
    expect(ended.err).toMatch(/postgres cannot be reached: .*DATABASE_URL/);
    expect(ended.out + ended.err).not.toContain('planted-word');
  });

  test('set: a value, an unknown key, a value that cannot be', async () => {
    const { mongo } = system;
    const here = (...args: string[]) => asked(system, ...args);
    const set = json('set', await here('set', 'shadow-sample', '0.25', '--json'));
    expect(set).toMatchObject({ outcome: 'done', key: 'shadow-sample', is: 0.25 });
    expect((await readControl(mongo))?.settings).toMatchObject({ 'shadow-sample': 0.25 });
    const { out } = await here('set');
    expect(out).toMatch(/\nshadow-sample +0\.25 +1 +Share of reads/);
    expect(await here('set', 'shadow-sample', '7')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/shadow-sample must be between 0 and 1/),
    });
    expect(await here('set', 'no-such-key', '7')).toMatchObject({ code: 2 });
    const known = { entity: 'user', field: 'name', reason: 'old names', until: '2030-01-31' };
    const ignore = (entry: object) => here('set', 'shadow-ignore', JSON.stringify([entry]));
    expect(await ignore({ ...known, until: '2030-02-31' })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/until is no day/),
    });
    expect(await ignore({ ...known, entity: 'users' })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/entity is none of user, /),
    });
    expect(await ignore(known)).toMatchObject({ code: 0 });
  });

  test('sessions end, users erase', async () => {
    const { engine } = system;
    const here = (...args: string[]) => asked(system, ...args);
    const account = newAccount();
    await engine.repository.createAccount(account);
    const { id } = account.user;
    const ended = json('userAction', await here('sessions', 'end', '--user', id, '--json'));
    expect(ended).toMatchObject({ verb: 'sessions end', outcome: 'done', user: id });
    expect(await engine.repository.listSessions({ userId: id, now: new Date() })).toEqual([]);

    const erased = json('userAction', await here('users', 'erase', '--user', id, '--json'));
    expect(erased).toMatchObject({ outcome: 'done', result: 'done' });
    expect((await engine.repository.findUser(id))?.deletedAt).not.toBeNull();

    const gone = await here('users', 'erase', '--user', '64f0c0ffee0123456789abcd');
    expect(gone).toMatchObject({ code: 1, out: expect.stringMatching(/there is no such user/) });
    const none = await here('users', 'erase', '--user', '~?ann.digest');
    expect(none).toMatchObject({ code: 2, err: expect.stringMatching(/nobody can ask for/) });
  });

  test('abort: of nothing, and of a change that somebody announced', async () => {
    const apart = await newSystem('shadow-read');
    const nothing = json('abort', await asked(apart, 'abort', '--json'));
    expect(nothing).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/under way/)] });
    const transition = { id: 'left behind', target: 'postgres-primary', phase: 'announced' } as const;
    await announce(apart.mongo, { ...transition, deadlineMs: 600_000 });
    expect(json('abort', await asked(apart, 'abort', '--json'))).toMatchObject({
      outcome: 'done',
      before: { transition },
      after: { transition: null },
    });
  });

  test('failover is refused where nothing was lost', async () => {
    const { mongo } = system;
    const words = ['failover', '--accept-loss', '--reason', 'a test', '--json'];
    expect(json('failover', await asked(system, ...words))).toMatchObject({ outcome: 'refused', loss: [] });
    expect(await modeOf(mongo)).toBe('dual-write');
  });
});

test('poison, conflicts and differences end with 1, and control characters steer no terminal', {
  timeout: LONG_MS,
}, async () => {
  const system = await newSystem('dual-write');
  const { engine, mongo } = system;
  await engine.stop(0);
  const now = new Date('2026-03-01T12:00:00Z');
  const body = { reason: 'a\u001b[2Jb', stamp: { epoch: 1, version: 2 } };
  for (const kind of [NOTES.poison, NOTES.conflict, NOTES.difference]) {
    await mongo.books.putNote(kind, 'user/64f0c0ffee0123456789abcd', body, now);
  }
  const expected = [expect.objectContaining({ key: 'user/64f0c0ffee0123456789abcd', body, times: 1 })];
  expect(json('pending', await asked(system, 'pending', '--json'))).toMatchObject({
    outcome: 'difference',
    poisoned: expected,
  });
  expect(json('conflicts', await asked(system, 'conflicts', '--json'))).toMatchObject({
    exitCode: 1,
    conflicts: expected,
  });
  const { code, out } = await asked(system, 'diffs');
  expect(code).toBe(1);
  expect(out).toMatch(/^differences: 1\n {2}user\/64f0c0ffee0123456789abcd .* last 2026-03-01 12:00:00Z\n/);
  expect(out).not.toContain('\u001b');
});
