import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import type { LimitStore } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { loadConfig } from '../../plugins/config.ts';
import { createLimits } from '../../plugins/limits/limits.ts';
import { networkOf } from '../../plugins/limits/subjects.ts';
import { openPostgres } from '../support/stores.ts';

const { store, url } = await openPostgres();
const NOW = new Date('2030-01-01T00:00:00Z');
let files = 0;

/** Limits of their own buckets, over the real store unless given another. */
function limitsWith(env: Record<string, string> = {}, limitStore: LimitStore = store.limits) {
  files += 1;
  const prefix = `test ${files} `;
  const keys = new Set<string>();
  const refused: string[] = [];
  const failures: unknown[] = [];
  let at = NOW.getTime();
  const limits = createLimits({
    store: limitStore,
    settings: loadConfig(env, { production: false }).limits,
    knownForMs: 100 * 24 * 3_600_000,
    digest(text) {
      const key = `${prefix}${text}`;
      keys.add(key);
      return key;
    },
    now: () => new Date(at),
    onRefused: (limit) => refused.push(limit),
    onFailure: (error) => failures.push(error),
  });
  return { ...limits, keys, refused, failures, advance: (ms: number) => (at += ms) };
}

const FROM = '192.0.2.1';
const login = { address: FROM, account: 'ada@example.test' };

describe('login', () => {
  test('counts pair, account and address, and says so in the headers', async () => {
    const { take } = limitsWith();
    const { verdict, headers } = await take('login', login);
    expect(verdict).toEqual({ allowed: true, retryAfterMs: 0 });
    expect(headers).toEqual({
      'RateLimit-Policy':
        '"login-pair";q=100;w=3600, "login-account";q=300;w=3600, "login-address";q=1000;w=900',
      RateLimit: '"login-pair";r=99;t=36',
    });
  });

  test('one stranger is delayed long before the account is, for everybody else it stays open', async () => {
    const { take } = limitsWith({ LIMIT_LOGIN_PAIR: '3/1h', LIMIT_LOGIN_ACCOUNT: '6/1h' });
    for (let times = 0; times < 3; times += 1)
      expect((await take('login', login)).verdict.allowed).toBe(true);
    for (let times = 0; times < 20; times += 1)
      expect((await take('login', login)).verdict.allowed).toBe(false);
    const owner = await take('login', { ...login, address: '198.51.100.1' });
    expect(owner.verdict.allowed).toBe(true);
  });

  test('of many at once no more than fit are let through', async () => {
    const { take, refused } = limitsWith({ LIMIT_LOGIN_ACCOUNT: '5/1h' });
    const attempts = await Promise.all(Array.from({ length: 30 }, () => take('login', login)));
    const past = attempts.filter((attempt) => attempt.past !== null);
    expect(past).toHaveLength(25);
    for (const attempt of past) attempt.past?.refuse();
    expect(refused).toEqual(Array(25).fill('login-account'));
  });

  test('a refused attempt counts nowhere', async () => {
    const { take } = limitsWith({ LIMIT_LOGIN_PAIR: '1/1h', LIMIT_LOGIN_ADDRESS: '3/1h' });
    for (let times = 0; times < 10; times += 1) await take('login', login);
    for (const account of ['b', 'c'])
      expect((await take('login', { address: FROM, account })).verdict.allowed).toBe(true);
  });

  test('an attempt past the limit of the account costs a guess, and so it counts for pair and address', async () => {
    const { take, advance } = limitsWith({
      LIMIT_LOGIN_ACCOUNT: '1/1h',
      LIMIT_LOGIN_PAIR: '3/1h',
      LIMIT_LOGIN_ADDRESS: '5/1h',
    });
    expect((await take('login', login)).past).toBeNull();
    const answers = [];
    for (let times = 0; times < 4; times += 1) answers.push(await take('login', login));
    expect(answers.map(({ verdict }) => verdict.allowed)).toEqual([true, true, false, false]);
    expect(answers.map(({ past }) => past?.known)).toEqual([false, false, undefined, undefined]);
    // The account itself was not hit by them.
    advance(1_000);
    expect((await take('login', login)).past).toBeNull();
    expect((await take('login', { ...login, account: 'b' })).verdict.allowed).toBe(true);
    expect((await take('login', { ...login, account: 'c' })).verdict.allowed).toBe(false);
  });

  /** Wrong passwords from ever other networks: they fill the account, and then are there first whenever it lets one in. */
  function siege({ take }: ReturnType<typeof limitsWith>) {
    let networks = 0;
    return async (attempts: number) => {
      for (let times = 0; times < attempts; times += 1) {
        if (times % 5 === 0) networks += 1;
        const { past } = await take('login', { ...login, address: `203.0.113.${networks}` });
        expect(past?.known).not.toBe(true);
      }
    };
  }

  const HOME = { ...login, address: '198.51.100.1' };

  test('whoever is known there gets in at once, however long strangers keep the account full', async () => {
    const limits = limitsWith({ LIMIT_LOGIN_ACCOUNT: '20/1h', LIMIT_LOGIN_PAIR: '10/1h' });
    await limits.know(HOME);
    const wrong = siege(limits);
    await wrong(30);
    const strange: boolean[] = [];
    for (let waited = 0; waited < 240; waited += 20) {
      for (let second = 0; second < 20; second += 1) {
        limits.advance(1_000);
        await wrong(1);
      }
      const attempt = await limits.take('login', HOME);
      expect([attempt.verdict.allowed, attempt.past?.known]).toEqual([true, true]);
      await attempt.success();
      const away = await limits.take('login', { ...login, address: `192.0.2.${waited}` });
      strange.push(away.past?.known === false);
    }
    // What a known network may is not given to another, nor does its success make room for strangers.
    expect(strange).toEqual(strange.map(() => true));
    const [bob, unknown] = [
      await limits.take('login', { ...HOME, account: 'bob@example.test' }),
      await limits.take('login', { ...HOME, address: FROM }),
    ];
    expect([bob.past, unknown.past?.known]).toEqual([null, false]);
  });

  test('a success makes its network known, for as long as said', async () => {
    const limits = limitsWith({ LIMIT_LOGIN_ACCOUNT: '4/1h', LIMIT_LOGIN_PAIR: 'off' });
    const known = async () => {
      await siege(limits)(6);
      return (await limits.take('login', HOME)).past?.known;
    };
    expect(await known()).toBe(false);
    limits.advance(24 * 3_600_000);
    await (await limits.take('login', HOME)).success();
    expect(await known()).toBe(true);
    limits.advance(100 * 24 * 3_600_000);
    await store.limits.purge(new Date(NOW.getTime() + 100 * 24 * 3_600_000));
    expect(await known()).toBe(true);
    limits.advance(2 * 24 * 3_600_000);
    expect(await known()).toBe(false);
  });

  test('the answer past the limit of the account tells nothing of who is known', async () => {
    const limits = limitsWith({ LIMIT_LOGIN_ACCOUNT: '4/1h' });
    await limits.know(HOME);
    const answers = [];
    for (const account of [HOME.account, 'unknown@example.test']) {
      for (const network of ['203.0.113.1', '203.0.113.2', '203.0.113.1', '203.0.113.2'])
        await limits.take('login', { account, address: network });
      const attempt = await limits.take('login', { account, address: HOME.address });
      const { verdict, headers } = attempt;
      answers.push({ verdict, headers, refused: attempt.past?.refuse() });
    }
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.headers).not.toHaveProperty('Retry-After');
    expect(answers[0]?.refused).toMatchObject({
      RateLimit: '"login-account";r=0;t=1',
      'Retry-After': '1',
    });
  });

  test('who was delayed and tries again too early, over and over, is let in when the delay is over', async () => {
    const { take, advance } = limitsWith({
      LIMIT_LOGIN_PAIR: '3/1h',
      LIMIT_LOGIN_ACCOUNT: '3/1h',
      LIMIT_DELAY_MIN: '60s',
      LIMIT_DELAY_MAX: '60s',
    });
    const stranger = { ...login, address: '198.51.100.1' };
    for (let times = 0; times < 3; times += 1) await take('login', login);
    advance(60_000);
    expect((await take('login', login)).verdict.allowed).toBe(true);
    advance(60_000);
    // The account is hit without the pair: their delays no longer end together.
    expect((await take('login', stranger)).verdict.allowed).toBe(true);
    const told: (string | null)[] = [];
    for (let waited = 0; waited < 70; waited += 10) {
      advance(10_000);
      const { verdict, past, headers } = await take('login', login);
      told.push(past?.refuse()['Retry-After'] ?? (verdict.allowed ? null : (headers['Retry-After'] ?? '')));
    }
    // It is the first that counts, for the pair.
    expect(told).toEqual(['60', '50', '40', '30', '20', '10', null]);
  });

  test('success forgets the failures of the account, but not those of the address', async () => {
    const { take } = limitsWith({ LIMIT_LOGIN_ACCOUNT: '3/1h', LIMIT_LOGIN_ADDRESS: '3/1h' });
    await take('login', login);
    await take('login', login);
    const right = await take('login', login);
    expect(right.headers['RateLimit']).toMatch(/;r=0;/);
    await right.success();
    const next = await take('login', login);
    expect(next.verdict.allowed).toBe(true);
    const refused = await take('login', { ...login, account: 'bob@example.test' });
    expect(refused.verdict.allowed).toBe(false);
    expect(refused.headers['RateLimit']).toMatch(/^"login-address";r=0/);
  });

  test('delays grow to their longest and end', async () => {
    const { take, advance } = limitsWith({ LIMIT_LOGIN_PAIR: '1/1h', LIMIT_DELAY_MAX: '4s' });
    await take('login', login);
    const delays: string[] = [];
    for (let times = 0; times < 4; times += 1) {
      const { verdict, headers } = await take('login', login);
      expect(verdict.allowed).toBe(false);
      delays.push(headers['Retry-After'] ?? '');
      advance(verdict.retryAfterMs);
      expect((await take('login', login)).verdict.allowed).toBe(true);
    }
    expect(delays).toEqual(['1', '2', '4', '4']);
  });
});

test('what no failure was can be taken back', async () => {
  const { take } = limitsWith({ LIMIT_TOKEN_ADDRESS: '1/1h' });
  for (let times = 0; times < 5; times += 1) {
    const attempt = await take('token', { address: FROM });
    expect(attempt.verdict.allowed).toBe(true);
    await attempt.refund();
  }
});

test('a limit that is off counts nothing', async () => {
  const { take, keys } = limitsWith({ LIMIT_SIGNUP_ADDRESS: 'off' });
  const { verdict, headers } = await take('signup', { address: FROM });
  expect(verdict.allowed).toBe(true);
  expect(headers).toEqual({});
  expect(keys.size).toBe(0);
});

test('without its store it lets everybody through and says so', async () => {
  const down = async () => {
    throw new StoreUnavailable('postgres', 'none', 'connect');
  };
  const { take, failures } = limitsWith(
    {},
    { hit: down, peek: down, clear: down, refund: down, purge: down },
  );
  const attempt = await take('login', login);
  expect(attempt.verdict.allowed).toBe(true);
  await attempt.success();
  expect(failures).toHaveLength(1);
});

test('a store that is there and has no time for it lets nobody through uncounted', async () => {
  const busy = await openPostgresStore({ url, poolMax: 1, timeoutMs: 2_000 });
  onTestFinished(() => busy.close());
  const { take, failures, keys } = limitsWith({ LIMIT_LOGIN_PAIR: '3/1h' }, busy.limits);
  await take('login', login);
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  onTestFinished(() => holder.end());
  await holder.query('begin');
  const { rowCount } = await holder.query('select from rate_limits where key = any($1) for update', [
    [...keys],
  ]);
  expect(rowCount).toBe(3);
  const attempts = await Promise.allSettled(Array.from({ length: 5 }, () => take('login', login)));
  for (const attempt of attempts) {
    expect(attempt).toMatchObject({
      status: 'rejected',
      reason: { name: 'StoreUnavailable', reason: expect.stringMatching(/^(overloaded|contention)$/) },
    });
  }
  expect(failures).toHaveLength(attempts.length);
  await holder.query('rollback');
  expect((await take('login', login)).headers['RateLimit']).toMatch(/^"login-pair";r=1;/);
});

test('only digests reach the store', async () => {
  const seen: string[] = [];
  const spy: LimitStore = {
    ...store.limits,
    hit(hits, now) {
      seen.push(...hits.map(({ key }) => key));
      return store.limits.hit(hits, now);
    },
  };
  const { take, keys } = limitsWith({}, spy);
  await take('mail', login);
  expect(seen).toEqual([...keys]);
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:DB8:0:0:ffff:1:2:3', '2001:db8:0:0::/64'],
  ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['192.0.2.1:5678', '192.0.2.1'],
  ['[2001:db8::1]:5678', '2001:db8:0:0::/64'],
  ['[2001:db8::1]', '2001:db8:0:0::/64'],
  ['2001:db8::1:5678', '2001:db8:0:0::/64'],
  ['_hidden', 'unknown'],
  ['192.0.2.1, 192.0.2.2', 'unknown'],
  ['', 'unknown'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
