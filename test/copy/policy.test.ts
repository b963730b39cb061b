/** Users that share an e-mail, and the policy that says who keeps it. */
import { ObjectId } from 'bson';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type CopyScope,
  type DuplicatePolicy,
  openBulk,
  parsePolicy,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { choosersOf, PolicyInvalid, type Rival } from '../../cutover/copy/policy.ts';
import { preflight } from '../../cutover/preflight/preflight.ts';
import { createCodec, DEFAULT_CODEC, DEFAULT_MAPPING, parseMapping } from '../../db/canonical.ts';
import { sessionAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

const day = (n: number): Date => new Date(Date.UTC(2024, 0, n));
const rival = (id: string, given: Partial<Rival> = {}): Rival => ({
  id,
  createdAt: day(1),
  isVerified: false,
  lastLoginAt: null,
  ...given,
});

function choose(policy: DuplicatePolicy, rivals: readonly Rival[]) {
  const chooser = choosersOf(policy)();
  for (const each of rivals) chooser.add(each);
  return chooser.choice();
}

describe('choosing', () => {
  it('asks the rules in their order, each where those before it cannot tell, and then the older', () => {
    const policy = parsePolicy({ default: 'verified', tieBreakers: ['most-recent-login', 'newest'] });
    const rivals = [
      rival('a', { isVerified: true, lastLoginAt: day(3) }),
      rival('b', { isVerified: true, lastLoginAt: day(4), createdAt: day(2) }),
      rival('c', { isVerified: true, lastLoginAt: day(4), createdAt: day(3) }),
      rival('d', { lastLoginAt: day(9), createdAt: day(9) }),
    ];
    expect(choose(policy, rivals).winner).toBe('c');
    expect(choose(policy, rivals.slice(0, 2)).winner).toBe('b');
    expect(choose(parsePolicy({ default: 'verified' }), rivals).winner).toBe('a');
  });

  it('decides nothing by logins of which none is known, unless another rule follows', () => {
    const recent = parsePolicy({ default: 'most-recent-login' });
    const rivals = [rival('x'), rival('a', { createdAt: day(2) })];
    expect(choose(recent, rivals)).toEqual({ winner: null, by: 'no last login is known' });
    expect(choose(recent, [...rivals, rival('b', { lastLoginAt: day(1) })]).winner).toBe('b');
    expect(choose(recent, [rival('b', { lastLoginAt: day(1) }), ...rivals]).winner).toBe('b');
    const equal = rivals.map((each) => ({ ...each, lastLoginAt: day(1) }));
    expect(choose(recent, equal).winner).toBe('x');
    const later = parsePolicy({ default: 'most-recent-login', tieBreakers: ['newest'] });
    expect(choose(later, rivals).winner).toBe('a');
    const first = parsePolicy({ default: 'verified', tieBreakers: ['most-recent-login'] });
    expect(choose(first, rivals).winner).toBeNull();
    expect(choose(first, [...rivals, rival('v', { isVerified: true })]).winner).toBe('v');
  });

  it.each<[object, Date | null]>([
    [{ lastLogin: day(3) }, day(3)],
    [{ last_sign_in_at: '2024-01-04', current_sign_in_at: day(5) }, day(5)],
    [{ lastLoginAt: new Date('0001-01-01T00:00:00Z') }, null],
    [{ lastLogin: new Date('2999-01-01T00:00:00Z') }, null],
    [{ lastLogin: new Date('2999-01-01T00:00:00Z'), last_login: day(3) }, day(3)],
    [{ loggedInOnce: true }, null],
  ])('knows of the last login by its usual names: %o', (given, expected) => {
    expect(DEFAULT_CODEC.lastLoginAt({ ...legacyUser(), ...given })).toEqual(expected);
  });

  it('a choice by id goes before the rules, and only where it names all there are', () => {
    const policy = parsePolicy({ default: 'newest', keep: { a: ['b'] } });
    const [a, b, c] = [rival('a'), rival('b', { createdAt: day(2) }), rival('c', { createdAt: day(3) })];
    expect(choose(policy, [a, b]).winner).toBe('a');
    expect(choose(policy, [a, b, c]).winner).toBeNull();
    expect(choose(policy, [b, c]).winner).toBe('c');
    expect(choose(parsePolicy({}), [b, c]).winner).toBeNull();
  });

  it.each<[string, unknown, RegExp]>([
    ['no object', [], /must be an object with default, tieBreakers, keep/],
    ['a word that is none', { rule: 'newest' }, /rule: not known here; allowed are default/],
    ['a rule that is none', { default: 'oldest' }, /^default: must be one of newest, verified/],
    ['rules after none', { tieBreakers: ['newest'] }, /^tieBreakers: only goes with a default rule/],
    [
      'a rule twice',
      { default: 'newest', tieBreakers: ['newest'] },
      /^tieBreakers\.0: newest was asked before/,
    ],
    ['an address', { keep: { 'a@example.org': ['b'] } }, /never an e-mail/],
    ['nobody who gives way', { keep: { a: [] } }, /^keep\.a/],
    ['one who gives way to itself', { keep: { a: ['a'] } }, /cannot give way to itself/],
    ['two choices about one', { keep: { a: ['b'], c: ['b'] } }, /shares an id with the choice for/],
  ])('refuses %s', (_, given, expected) => {
    expect(() => parsePolicy(given)).toThrow(PolicyInvalid);
    const problems = (): readonly string[] => {
      try {
        parsePolicy(given);
        return [];
      } catch (error) {
        return error instanceof PolicyInvalid ? error.problems : [];
      }
    };
    expect(problems()[0]).toMatch(expected);
  });
});

describe('on real servers', async () => {
  const bench = await openBench();
  const codec = createCodec(parseMapping({ user: { lastLoginAt: 'seen.at' } }, DEFAULT_MAPPING));
  const bulk = openBulk({ mongoUrl: bench.urls.mongo, postgresUrl: bench.urls.postgres, codec });
  afterAll(() => bulk.close());
  const scope: CopyScope = { ...bench, mongo: bulk.mongo };
  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
  });

  const user = (email: string, given: object = {}) => ({
    ...legacyUser({ email, ...given }),
    _id: new ObjectId(),
  });
  const idOf = ({ _id }: { readonly _id: ObjectId }): string => _id.toHexString();
  const backfill = (policy: unknown) =>
    runBackfill(scope, { from: 'mongo', onBad: 'rollback', duplicates: parsePolicy(policy) });
  const copied = async () =>
    (await bench.postgres.query<{ id: string }>('select id from users')).map(({ id }) => id);

  it('the last login is what the mapping names, or a session of this service if that is later', async () => {
    const [a, b] = [user('ann@x.org', { seen: { at: day(5) } }), user('Ann@x.org', { seen: { at: day(4) } })];
    const [c, d] = [user('bob@x.org', { seen: { at: '2024-01-05' } }), user('Bob@x.org')];
    await bench.insert('user', [a, b, c, d]);
    const later = new Date(Date.now() + 3_600_000);
    const session = sessionAt([1, 1], idOf(d), { createdAt: day(6), expiresAt: later, idleExpiresAt: later });
    await bench.stores.mongo.replica.apply('session', [session], { epoch: 1, expiredBefore: new Date(0) });
    expect(await backfill({ default: 'most-recent-login' })).toMatchObject({ outcome: 'complete' });
    expect((await copied()).sort()).toEqual([idOf(a), idOf(d)].sort());
    const aside = await bench.postgres.query('select state, resolution from copy_quarantine');
    expect(aside).toEqual(Array(2).fill({ state: 'accepted', resolution: 'policy most-recent-login' }));
  });

  it.each(['rollback', 'quarantine'] as const)(
    'with %s, sessions of who gave way stay behind too, and verify asks for none',
    async (onBad) => {
      const [a, b] = [user('ann@x.org'), user('Ann@x.org')];
      await bench.insert('user', [a, b]);
      const later = new Date(Date.now() + 3_600_000);
      const sessions = [a, b].map((each) =>
        sessionAt([1, 1], idOf(each), { createdAt: day(6), expiresAt: later, idleExpiresAt: later }),
      );
      await bench.stores.mongo.replica.apply('session', sessions, { epoch: 1, expiredBefore: new Date(0) });
      const duplicates = parsePolicy({ keep: { [idOf(b)]: [idOf(a)] } });
      const result = await runBackfill(scope, { from: 'mongo', onBad, duplicates });
      expect(result).toMatchObject({ outcome: 'complete', counts: { bad: 0, inserted: 2 } });
      expect(await bench.postgres.query('select user_id as id from sessions')).toEqual([{ id: idOf(b) }]);
      expect(await verify(scope)).toMatchObject({ differences: [], excused: 2 });
    },
  );

  it('a dry run, a run that was rolled back and one that was undone leave no decision behind', async () => {
    const [a, b] = [user('ann@x.org'), user('Ann@x.org')];
    await bench.insert('user', [a, b]);
    const duplicates = parsePolicy({ default: 'newest' });
    const left = () => bench.postgres.query('select record_id from copy_quarantine');
    const dry = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine', dryRun: true, duplicates });
    expect(dry.outcome).toBe('dry-run');
    expect(await left()).toEqual([]);
    const bad = user('bad', { email: [] });
    await bench.insert('user', [bad]);
    expect(await backfill({ default: 'newest' })).toMatchObject({ outcome: 'rolled-back' });
    expect(await left()).toEqual([]);
    const { run } = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine', duplicates });
    expect(await left()).toHaveLength(2);
    expect(await bench.stores.mongo.books.countNotes()).toMatchObject({ quarantine: 1 });
    await rollbackBackfill(scope, run);
    expect(await left()).toEqual([]);
    expect((await bench.stores.mongo.books.countNotes())['quarantine']).toBeUndefined();
  });

  it('a run that was rolled back leaves in quarantine what an earlier one has put there', async () => {
    const [a, b, bad] = [user('ann@x.org'), user('Ann@x.org'), user('bad', { email: [] })];
    await bench.insert('user', [a, b, bad]);
    const later = new Date(Date.now() + 3_600_000);
    const session = sessionAt([1, 1], idOf(a), { expiresAt: later, idleExpiresAt: later });
    const under = { epoch: 1, expiredBefore: new Date(0) };
    await bench.stores.mongo.replica.apply('session', [session], under);
    const held = () =>
      bench.postgres.query<Record<string, unknown>>(
        'select * from copy_quarantine order by entity, record_id',
      );
    await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    const before = await held();
    expect(before.map(({ state }) => state)).toEqual(['held', 'held', 'held', 'held']);
    expect(await backfill({ default: 'newest' })).toMatchObject({
      outcome: 'rolled-back',
      counts: { bad: 1, quarantined: 0 },
    });
    expect(await held()).toEqual(before);
    expect(await verify(scope)).toMatchObject({ differences: [], excused: 4 });
    await bench.mongo.collection('user').deleteOne({ _id: bad._id } as never);
    expect(await backfill({ default: 'newest' })).toMatchObject({ outcome: 'complete' });
    const states = (await held()).flatMap((row) => (row['record_id'] === idOf(b) ? [] : [row['state']]));
    expect(states).toEqual(['accepted', 'accepted', 'held']);
    expect(await copied()).toEqual([idOf(b)]);
    expect(await verify(scope)).toMatchObject({ differences: [] });
  });

  it('what is left undecided is bad, all ids named, and preflight says so beforehand', async () => {
    const [a, b] = [user('ann@x.org'), user('Ann@x.org')];
    const [c, d] = [user('bob@x.org'), user('Bob@x.org')];
    await bench.insert('user', [a, b, c, d, user('carl@x.org')]);
    const policy = { keep: { [idOf(b)]: [idOf(a)] } };
    const refused = await backfill(policy);
    expect(refused).toMatchObject({ outcome: 'rolled-back', counts: { bad: 2, inserted: 0 } });
    expect(refused.bad.map(({ id, detail }) => ({ id, detail }))).toEqual(
      [idOf(c), idOf(d)].sort().map((id) => ({ id, detail: { ids: [idOf(c), idOf(d)].sort() } })),
    );
    const look = (given: DuplicatePolicy | null) =>
      preflight(
        {
          ...bench,
          codec,
          report: () => {},
          urls: bench.urls,
          env: {},
          poolMax: { mongo: 1, postgres: 1 },
        },
        { instances: 1, sample: null, policy: given },
      );
    const duplicates = async (given: unknown) => {
      const found = await look(given === null ? null : parsePolicy(given));
      const check = found.checks.find(({ name }) => name === 'duplicates');
      const { duplicates: count, undecided } = found.documents[0] ?? {};
      return { count, undecided, level: check?.level };
    };
    expect(await duplicates(null)).toEqual({ count: 2, undecided: 4, level: 'block' });
    expect(await duplicates(policy)).toEqual({ count: 2, undecided: 2, level: 'block' });
    const whole = { ...policy, default: 'newest' };
    expect(await duplicates(whole)).toEqual({ count: 2, undecided: 0, level: 'warn' });
    // Of many choices and many addresses, each is gone through once.
    let looks = 0;
    const ownKeys = (choices: object) => {
      looks += 1;
      return Reflect.ownKeys(choices);
    };
    const { rules, keep } = parsePolicy(policy);
    await look({ rules, keep: new Proxy<DuplicatePolicy['keep']>(keep, { ownKeys }) });
    expect(looks).toBe(1);
    expect(await backfill(whole)).toMatchObject({ outcome: 'complete', counts: { bad: 0, inserted: 3 } });
    expect(await copied()).toContain(idOf(b));
    expect(await copied()).not.toContain(idOf(a));
  });
});
