/** The exit codes that a verb's help names are those it ends with. */
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { EXIT_CODES, OUTCOMES, type Outcome } from '../../cutover/cli/exit-codes.ts';
import { failureOf } from '../../cutover/cli/failures.ts';
import { specOf, VERB_NAMES, type VerbName } from '../../cutover/cli/verbs.ts';
import type { Mode } from '../../cutover/mode.ts';
import type { PerStore } from '../../cutover/protocol/types.ts';
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { signUp } from '../contract/fixtures.ts';
import { type Ended, inside, json } from './cli-program.ts';
import { createWorld, type World } from './operator-world.ts';
import { announce } from './support/control.ts';

const ID = '64f0c0ffee0123456789abcd';
const WORDS: Readonly<Partial<Record<VerbName, readonly string[]>>> = {
  promote: ['--no-foreign-writers'],
  set: ['shadow-sample', '0.5'],
  failover: ['--accept-loss', '--reason', 'a test'],
  'sessions end': ['--user', ID],
  'users erase': ['--user', ID],
  'backfill show': [ID],
  'backfill resume': [ID],
  'backfill rollback': [ID],
  'quarantine retry': [ID],
  'quarantine accept': [ID],
  'quarantine drop': [ID],
  'snapshot verify': ['none'],
  'snapshot restore': ['none', '--into', 'mongo'],
};
/** All that they ask is the two stores. */
const ON_STORES = [
  'status',
  'promote',
  'rollback',
  'abort',
  'pending',
  'conflicts',
  'diffs',
  'foreign',
  'log',
  'set',
  'failover',
  'sessions end',
  'users erase',
] as const satisfies readonly VerbName[];

let world: World;
let interrupted: AbortController;
beforeEach(() => {
  world = createWorld();
  interrupted = new AbortController();
});
afterEach(() => world.stop());

async function end(
  verb: VerbName,
  words = WORDS[verb] ?? [],
  stores: PerStore<Store | null> = world.stores,
): Promise<Ended> {
  const isOnStores = ON_STORES.some((each) => each === verb);
  const open = async () => ({ stores, configuredMode: null, close: async () => {} });
  const args = [...verb.split(' '), ...words, '--json'];
  const { signal } = interrupted;
  // Whatever asks more than the stores is not on their clock.
  if (!isOnStores) return inside(args, open, { interrupted: signal });
  return world.clock.run(inside(args, open, { environment: world.clock, interrupted: signal }));
}

async function outcomeOf(verb: VerbName, words?: readonly string[]): Promise<Outcome> {
  const { code, out, err } = await end(verb, words);
  const outcome = OUTCOMES.find((each) => EXIT_CODES[each] === code);
  if (outcome === undefined) throw new Error(`${verb} ended with ${code}: ${out}${err}`);
  return outcome;
}

async function startIn(mode: Mode) {
  const [engine] = await world.start(1, mode);
  if (engine === undefined) throw new Error('one was started');
  return engine;
}

const cutBoth = () => {
  world.cut('mongo');
  world.cut('postgres');
};

/** What can happen to any verb. */
const MISHAPS: Readonly<Record<string, () => unknown>> = {
  'no system': () => {},
  'stores out of reach': cutBoth,
  'records of another version': async () => {
    await startIn('dual-write');
    await world.stop();
    for (const { books } of Object.values(world.stores)) {
      const entry = await books.readControl();
      if (entry === null) throw new Error('both have one');
      const { epoch, revision } = entry;
      await books.replaceControl(entry, { epoch, revision: revision + 1, body: { mode: 'another' } });
    }
  },
  'Ctrl-C': async () => {
    await startIn('dual-write');
    interrupted.abort();
  },
};

describe.each(Object.entries(MISHAPS))('with %s', (_, happen) => {
  test.each(VERB_NAMES)('%s ends as its help says', async (verb) => {
    await happen();
    expect(specOf(verb).ends).toContain(await outcomeOf(verb));
    expect(specOf(verb).ends).toContain(await outcomeOf(verb, ['--frobnicate']));
  });
});

/** How each of them comes to be done. */
async function makeReady(verb: (typeof ON_STORES)[number]): Promise<readonly string[] | undefined> {
  const engine = await startIn(verb === 'promote' ? 'mongo-only' : 'dual-write');
  if (verb === 'sessions end' || verb === 'users erase') {
    const { user } = await world.clock.run(signUp(engine.repository));
    return ['--user', user.id];
  }
  if (verb !== 'abort' && verb !== 'failover') return undefined;
  await end('promote');
  if (verb === 'failover') {
    await end('promote', ['--force', '--reason', 'a test']);
    world.cut('postgres');
    return undefined;
  }
  const transition = { id: 't', target: 'postgres-primary', phase: 'announced', deadlineMs: 1e6 } as const;
  await world.clock.run(announce(world.stores.mongo, transition));
  return undefined;
}

describe('each code that the help names', () => {
  test.each(ON_STORES)('%s comes to it', async (verb) => {
    const seen = new Set<Outcome>([await outcomeOf(verb, ['--frobnicate'])]);
    for (const happen of Object.values(MISHAPS)) {
      await happen();
      seen.add(await outcomeOf(verb));
      await world.stop();
      world = createWorld();
      interrupted = new AbortController();
    }
    seen.add(await outcomeOf(verb, await makeReady(verb)));
    expect([...seen].sort()).toEqual([...specOf(verb).ends].sort());
  });
});

it('failover that is done prints what its schema says', async () => {
  await makeReady('failover');
  expect(json('failover', await end('failover'))).toMatchObject({
    outcome: 'done',
    exitCode: 0,
    after: { mode: 'mongo-only' },
    loss: expect.arrayContaining([expect.stringContaining('is lost')]),
  });
});

it('status while the authority is silent prints what its schema says', async () => {
  await startIn('dual-write');
  world.cut('mongo');
  expect(json('status', await end('status'))).toMatchObject({
    outcome: 'unreachable',
    mode: 'dual-write',
    instances: [],
    next: [],
  });
});

test.each(['pending', 'foreign', 'log'] as const)(
  '%s without the mirror is not all, and says so',
  async (verb) => {
    await startIn('postgres-primary');
    world.cut('mongo');
    const ended = await end(verb);
    expect(json(verb, ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
    expect(ended.err).toMatch(/this is not all: mongo cannot be reached: .*MONGO_URL/);
  },
);

it('settings that the authority cannot be asked for are only a copy, and not done', async () => {
  await startIn('dual-write');
  world.cut('mongo');
  const ended = await end('set', []);
  expect(json('settings', ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
  expect(ended.err).toMatch(/mongo cannot be reached: .*MONGO_URL/);
  world.mend('mongo');
  world.cut('postgres');
  expect(json('settings', await end('set', []))).toMatchObject({ outcome: 'done' });
});

describe('without the URL of a store', () => {
  const without = (verb: VerbName, name: StoreName) => end(verb, [], { ...world.stores, [name]: null });

  test.each([
    ['postgres-only', 'postgres', /postgres is not configured: set DATABASE_URL/],
    ['postgres-primary', 'postgres', /postgres is not configured: set DATABASE_URL/],
    ['postgres-primary', 'mongo', /mongo is not configured: set MONGO_URL/],
    ['dual-write', 'mongo', /mongo is not configured: set MONGO_URL/],
    ['dual-write', 'postgres', /postgres is not configured: set DATABASE_URL/],
  ] as const)('that %s needs, %s, status ends with 5 and names it', async (mode, name, notice) => {
    await startIn(mode);
    const ended = await without('status', name);
    expect(json('status', ended)).toMatchObject({ outcome: 'unreachable', mode });
    expect(ended.err).toMatch(notice);
  });

  test.each(['pending', 'foreign', 'log'] as const)('that the mirror is, %s is not all', async (verb) => {
    await startIn('dual-write');
    const ended = await without(verb, 'postgres');
    expect(json(verb, ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
    expect(ended.err).toMatch(/this is not all: postgres is not configured: set DATABASE_URL/);
  });

  test.each(['status', 'pending', 'foreign', 'log'] as const)(
    'that the mode does without, %s is done',
    async (verb) => {
      await startIn('mongo-only');
      expect(await without(verb, 'postgres')).toMatchObject({ code: 0, err: '' });
    },
  );
});

test.each(['users erase', 'sessions end'] as const)('%s prints the state before and after', async (verb) => {
  const words = await makeReady(verb);
  const summary = { mode: 'dual-write', epoch: 1 };
  expect(json('userAction', await end(verb, words))).toMatchObject({ before: summary, after: summary });
  const open = async () => ({ stores: world.stores, configuredMode: null, close: async () => {} });
  const { out } = await world.clock.run(
    inside([...verb.split(' '), '--user', ID], open, { environment: world.clock }),
  );
  expect(out).toMatch(/\nbefore +dual-write · epoch 1 .*\nafter +dual-write · epoch 1 /);
});

test.each(['users erase', 'sessions end'] as const)('%s whose reply was lost ends with 4', async (verb) => {
  const words = await makeReady(verb);
  world.hooks.mongo = {
    after: ({ name }) => {
      if (name === 'eraseUser' || name === 'endSessions') world.cut('mongo');
    },
  };
  expect(json('userAction', await end(verb, words))).toMatchObject({ result: 'unknown', exitCode: 4 });
});

test.each([
  ['set', /it may have been done: look at `cutover status`/],
  ['failover', /it may have been done: look at `cutover status`/],
  ['users erase', /it may have been done: run it again/],
  ['pending', /nothing was changed: run it again/],
] as const)('%s ended by Ctrl-C says what to do next', async (verb, next) => {
  await startIn('dual-write');
  interrupted.abort();
  const ended = await end(verb);
  expect(json('failure', ended).error).toMatchObject({ remedy: expect.stringMatching(next) });
  expect(ended).toMatchObject({ code: 4, err: expect.stringMatching(next) });
});

test('status --watch says of stores out of reach what status says', async () => {
  cutBoth();
  const once = json('failure', await end('status'));
  const watching = end('status', ['--watch']);
  await world.clock.pass(500);
  interrupted.abort();
  const { code, out } = await watching;
  expect(code).toBe(0);
  for (const line of out.trim().split('\n')) expect(JSON.parse(line)).toEqual(once);
  expect(once.error.remedy).toMatch(/MongoDB cannot be reached: .*MONGO_URL/);
});

test('a full disk is told as such, and more time is no remedy for it', () => {
  expect(failureOf(new StoreUnavailable('postgres', 'none', 'disk-full'))).toMatchObject({
    outcome: 'unreachable',
    message: 'PostgreSQL has no space left on its disk',
    remedy: expect.not.stringContaining('STORE_TIMEOUT'),
  });
});
