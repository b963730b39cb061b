import { describe, expect, it } from 'vitest';
import { type Mode, moveBetween } from '../../cutover/mode.ts';
import { failingGates, type GateFacts, gatesFor } from '../../cutover/operator/gates.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import { DEFAULT_SETTINGS, type Settings } from '../../cutover/settings.ts';
import { duration } from '../../cutover/words.ts';
import { allMoves } from './support/moves.ts';

const HOUR_MS = 3_600_000;
const NOW_MS = 1_800_000_000_000;
const COMPLETE = {
  kind: 'complete',
  run: 'run-1',
  completedAtMs: NOW_MS - 48 * HOUR_MS,
  verifiedAtMs: null,
} as const;
const EMPTY_RUN = { ...COMPLETE, run: 'started-empty' };
const MAPPING = 'a'.repeat(16);
const DONE = { atMs: NOW_MS - HOUR_MS, clean: true, run: 'run-1', copy: 'run-1', mapping: MAPPING };
const FINE_STORE = { configured: true, reachable: true, problem: null, migrated: true, deposed: false };

function recordIn(mode: Mode, given: Partial<ControlRecord> = {}): ControlRecord {
  return {
    mode,
    revision: 7,
    epoch: 1,
    transition: null,
    changedBy: null,
    copy: COMPLETE,
    settings: {},
    ...given,
  };
}

/** Everything as every gate wants it. */
function fine(mode: Mode, given: Partial<GateFacts> = {}): GateFacts {
  return {
    nowMs: NOW_MS,
    record: recordIn(mode),
    unfinished: false,
    stores: { mongo: FINE_STORE, postgres: FINE_STORE },
    pending: { count: 0, oldestAgeMs: null },
    orphans: { count: 0, oldestAgeMs: null },
    notes: { poison: 0, conflict: 0, quarantine: 0 },
    foreign: { open: 0, watch: 'watching', unwatchedSinceMs: null, why: null },
    shadow: { windowMs: 24 * HOUR_MS, compared: 10_000, mismatches: 0 },
    evidence: { verify: DONE, snapshot: DONE, backfill: { ...DONE, atMs: COMPLETE.completedAtMs } },
    instances: [],
    soak: { sinceMs: NOW_MS - 24 * HOUR_MS, trouble: null },
    noForeignWriters: true,
    mapping: MAPPING,
    verbs: { backfill: true, verify: true, snapshot: true },
    ...given,
  };
}

function gatesOf(from: Mode, to: Mode, given: Partial<GateFacts> = {}, settings: Partial<Settings> = {}) {
  const move = moveBetween(from, to);
  if (move === null) throw new Error('no such move');
  return gatesFor(move, fine(from, given), { ...DEFAULT_SETTINGS, ...settings });
}

const failing = (...args: Parameters<typeof gatesOf>) =>
  gatesOf(...args)
    .filter(({ ok }) => !ok)
    .map(({ name, kind }) => `${name} ${kind}`);

/** What a gate says where it is asked for a change of authority. */
const gate = (name: string, given: Partial<GateFacts> = {}, settings: Partial<Settings> = {}) =>
  gatesOf('shadow-read', 'postgres-primary', given, settings).find((each) => each.name === name);

describe('what stands in the way is named, and what helps', () => {
  it('a paused mirror, which nobody overrides', () => {
    const gates = gatesOf('shadow-read', 'postgres-primary', {}, { 'mirror-paused': true });
    expect(failingGates(gates, true)).toMatchObject([
      {
        name: 'mirror',
        found: 'paused by mirror-paused',
        remedy: expect.stringMatching(/cutover set mirror-paused false$/),
      },
    ]);
    const pending = { count: 5_000, oldestAgeMs: 90_000 };
    const entering = gatesOf('dual-write', 'shadow-read', { pending }, { 'mirror-paused': true });
    expect(entering.find(({ name }) => name === 'pending')?.remedy).toMatch(/set mirror-paused false$/);
  });

  it.each([
    [{ 'shadow-baseline': true }, /set shadow-baseline false/],
    [{ 'shadow-sample': 0 }, /set shadow-sample 1\b/],
    [{ 'shadow-rate': 0 }, /set shadow-rate 200\b/],
    [{}, /^let traffic flow/],
  ] as const)('no comparisons with %j', (settings, remedy) => {
    const shadow = { windowMs: 24 * HOUR_MS, compared: 0, mismatches: 0 };
    expect(gate('comparisons', { shadow }, settings)?.remedy).toMatch(remedy);
  });

  it('a store that answers and takes no writes', () => {
    const postgres = { ...FINE_STORE, reachable: false, refusal: 'read-only' } as const;
    expect(gate('reachable', { stores: { mongo: FINE_STORE, postgres } })).toMatchObject({
      ok: false,
      found: 'answers, but takes no writes',
      remedy: 'check that DATABASE_URL leads to the primary, and not to a replica',
    });
  });

  it('evidence from the future is none; a moment of it is two clocks', () => {
    const seenAt = (ms: number) => {
      const { verify, ...others } = fine('shadow-read').evidence;
      return gate('verify', { evidence: { ...others, verify: { ...DONE, atMs: NOW_MS + ms } } });
    };
    expect(seenAt(2 * HOUR_MS)).toMatchObject({ ok: false, found: 'from the future, by 2 h' });
    expect(seenAt(4_000)).toMatchObject({ ok: true, found: '0 ms old' });
  });
});

const AUTHORITY_CHANGES = [
  ['shadow-read', 'postgres-primary'],
  ['postgres-primary', 'shadow-read'],
] as const;
const FOREIGN = ['foreign-writes', 'foreign-watch'];
const DRAIN = ['pending', 'orphans', 'poison', 'conflicts', 'quarantine', ...FOREIGN];
const CHANGE = [
  'transition',
  'instances',
  'reachable',
  'schema',
  'mapping',
  'reach',
  'copy',
  'mirror',
  ...DRAIN,
];
const EVIDENCE = ['comparisons', 'mismatches', 'verify', 'snapshot'];

const INSTANCE = {
  instance: 'i1',
  host: null as string | null,
  epoch: 1,
  revision: 6,
  incarnation: 1,
  counter: 1,
  leaseMs: 1,
  acknowledged: null,
  reaches: ['mongo', 'postgres'] as readonly ('mongo' | 'postgres')[],
  p99Ms: null,
  mapping: MAPPING,
  isReadable: true,
};

describe('which gates a move has', () => {
  it.each<[Mode, Mode, readonly string[]]>([
    [
      'mongo-only',
      'dual-write',
      ['transition', 'instances', 'reachable', 'schema', 'mapping', 'rebuilt', 'foreign-writers'],
    ],
    [
      'dual-write',
      'shadow-read',
      ['transition', 'instances', 'reachable', 'schema', 'mapping', 'copy', 'pending', ...FOREIGN],
    ],
    ['shadow-read', 'postgres-primary', [...CHANGE, ...EVIDENCE]],
    ['postgres-primary', 'postgres-only', ['transition', 'instances', 'soak']],
    [
      'postgres-only',
      'postgres-primary',
      ['transition', 'instances', 'reachable', 'schema', 'mapping', 'rebuilt'],
    ],
    ['postgres-primary', 'shadow-read', [...CHANGE, ...EVIDENCE]],
    ['shadow-read', 'dual-write', ['transition', 'instances']],
    ['dual-write', 'mongo-only', ['transition', 'instances']],
  ])('%s → %s', (from, to, names) => {
    expect(gatesOf(from, to).map(({ name }) => name)).toEqual(names);
    expect(failing(from, to)).toEqual([]);
  });

  it('covers every legal move, each gate with its numbers and a remedy', () => {
    for (const { from, to } of allMoves()) {
      for (const gate of gatesOf(from, to)) {
        for (const text of [gate.found, gate.required, gate.remedy]) expect(text).not.toBe('');
      }
    }
  });
});

describe('every move', () => {
  it.each(allMoves())(
    '$from → $to needs no other change, and everybody at the present revision',
    ({ from, to }) => {
      const transition = { id: 't', target: to, phase: 'fenced', deadlineMs: 1 } as const;
      expect(failing(from, to, { record: recordIn(from, { transition }) })).toEqual(['transition safety']);
      expect(failing(from, to, { unfinished: true })).toEqual(['transition safety']);
      const instance = INSTANCE;
      expect(failing(from, to, { instances: [{ ...instance, state: 'behind' }] })).toEqual([
        'instances safety',
      ]);
      expect(failing(from, to, { instances: [{ ...instance, state: 'silent' }] })).toEqual([]);
    },
  );
});

describe('a move that relies on the other store', () => {
  it.each([
    ['mongo-only', 'dual-write'],
    ['dual-write', 'shadow-read'],
    ['shadow-read', 'postgres-primary'],
    ['postgres-primary', 'shadow-read'],
  ] as const)('%s → %s needs one mapping, of instances, copy and verify', (from, to) => {
    const other = 'b'.repeat(16);
    const instance = { ...INSTANCE, state: 'current' as const, mapping: other };
    expect(failing(from, to, { instances: [instance] })).toEqual(['mapping safety']);
    expect(failing(from, to, { instances: [{ ...instance, state: 'silent' }] })).toEqual([]);
    const { evidence } = fine(from);
    const older = { ...DONE, mapping: other };
    const mapping = (given: Partial<GateFacts>) =>
      gatesOf(from, to, given).find(({ name }) => name === 'mapping');
    for (const given of [
      { ...evidence, verify: older },
      { ...evidence, verify: { ...DONE, mapping: null } },
      { ...evidence, backfill: older, verify: older },
      { ...evidence, backfill: older, verify: null },
      { ...evidence, backfill: older, verify: { ...DONE, clean: false } },
      { ...evidence, backfill: older, verify: { ...DONE, copy: 'run-0' } },
    ]) {
      const gate = mapping({ evidence: given });
      expect(gate).toMatchObject({ ok: false, kind: 'safety' });
      expect(gate?.remedy).toContain('cutover verify --full');
    }
    // What made the copy is of no matter once the copy was found clean, nor while there is none to rely on.
    expect(failing(from, to, { evidence: { ...evidence, backfill: older } })).toEqual([]);
    const record = recordIn(from, { copy: { kind: 'stale', sinceMs: NOW_MS } });
    expect(mapping({ record, evidence: { ...evidence, backfill: older, verify: older } })?.ok).toBe(true);
  });
});

describe('a change of authority', () => {
  it.each(AUTHORITY_CHANGES)(
    '%s → %s needs every live instance to reach the store that takes over',
    (from, to) => {
      const [winner, loser] =
        to === 'postgres-primary' ? (['postgres', 'mongo'] as const) : (['mongo', 'postgres'] as const);
      const withReach = (
        reaches: (typeof INSTANCE)['reaches'] | null,
        state: 'current' | 'silent' = 'current',
      ) => ({
        instances: [
          { ...INSTANCE, state: 'current' as const },
          { ...INSTANCE, instance: 'i2', host: 'pod-b', state, reaches },
        ],
      });
      expect(failing(from, to, withReach([winner, loser]))).toEqual([]);
      expect(failing(from, to, withReach([loser]))).toEqual(['reach safety']);
      expect(failing(from, to, withReach(null))).toEqual(['reach safety']);
      expect(failing(from, to, withReach([loser], 'silent'))).toEqual([]);
      const gate = gatesOf(from, to, withReach([loser])).find(({ name }) => name === 'reach');
      expect(gate).toMatchObject({
        found: expect.stringContaining('1 of 2'),
        remedy: expect.stringContaining('i2 on pod-b'),
      });
    },
  );
});

describe('the store that is to be mirrored into, or to take over', () => {
  it.each<[Mode, Mode, 'mongo' | 'postgres']>([
    ['mongo-only', 'dual-write', 'postgres'],
    ['dual-write', 'shadow-read', 'postgres'],
    ['shadow-read', 'postgres-primary', 'postgres'],
    ['postgres-primary', 'shadow-read', 'mongo'],
    ['postgres-only', 'postgres-primary', 'mongo'],
  ])('%s → %s: %s answers, with its schema', (from, to, store) => {
    const other = store === 'mongo' ? 'postgres' : 'mongo';
    const stores = (facts: object) => ({
      stores: { [store]: { ...FINE_STORE, ...facts }, [other]: FINE_STORE } as GateFacts['stores'],
    });
    expect(failing(from, to, stores({ reachable: false, migrated: null }))).toEqual([
      'reachable safety',
      'schema safety',
    ]);
    expect(failing(from, to, stores({ configured: false }))).toEqual(['reachable safety']);
    expect(failing(from, to, stores({ migrated: false }))).toEqual(['schema safety']);
  });

  it.each<[Mode, Mode]>([
    ['shadow-read', 'dual-write'],
    ['dual-write', 'mongo-only'],
    ['postgres-primary', 'postgres-only'],
  ])('%s → %s asks nothing of it', (from, to) => {
    const away = { ...FINE_STORE, reachable: false, migrated: null };
    const stores =
      from === 'postgres-primary'
        ? { mongo: away, postgres: FINE_STORE }
        : { mongo: FINE_STORE, postgres: away };
    expect(failing(from, to, { stores, orphans: { count: null, oldestAgeMs: null } })).toEqual([]);
  });

  it('is not one that a failover deposed', () => {
    const stores = { mongo: FINE_STORE, postgres: { ...FINE_STORE, deposed: true } };
    expect(failing('mongo-only', 'dual-write', { stores })).toEqual(['rebuilt safety']);
  });
});

it('dual-write asks for the statement that no other writer is left', () => {
  expect(failing('mongo-only', 'dual-write', { noForeignWriters: false })).toEqual([
    'foreign-writers safety',
  ]);
  expect(failing('postgres-only', 'postgres-primary', { noForeignWriters: false })).toEqual([]);
});

describe('the copy', () => {
  it.each<[Mode, Mode, string]>([
    ['dual-write', 'shadow-read', 'npx --no cutover backfill'],
    ['shadow-read', 'postgres-primary', 'npx --no cutover backfill'],
    ['postgres-primary', 'shadow-read', 'npx --no cutover backfill --from postgres'],
  ])('%s → %s needs it complete', (from, to, command) => {
    for (const copy of [{ kind: 'none' }, { kind: 'stale', sinceMs: 1 }] as const) {
      const gates = gatesOf(from, to, { record: recordIn(from, { copy }) });
      expect(gates.filter(({ ok }) => !ok)).toMatchObject([
        { name: 'copy', kind: 'safety', found: copy.kind },
      ]);
      expect(gates.find(({ name }) => name === 'copy')?.remedy).toMatch(new RegExp(`${command}$`));
    }
  });

  it('says when the verb that would help is not there', () => {
    const verbs = { backfill: false, verify: false, snapshot: false };
    const record = recordIn('postgres-primary', { copy: { kind: 'stale', sinceMs: 1 } });
    const gates = gatesOf('postgres-primary', 'shadow-read', { verbs, record });
    expect(gates.find(({ name }) => name === 'copy')?.remedy).toMatch(
      /--from postgres \(not available yet\)$/,
    );
  });
});

describe('what is pending', () => {
  it.each([
    [0, null, true],
    [999, 59_999, true],
    [1_000, 1, false],
    [1, 60_000, false],
    [null, null, false],
  ])('to shadow-read: %j for %j ms: %j', (count, oldestAgeMs, ok) => {
    const found = failing('dual-write', 'shadow-read', { pending: { count, oldestAgeMs } });
    expect(found).toEqual(ok ? [] : ['pending safety']);
  });

  it.each([
    [0, null, true],
    [99, 4_999, true],
    [100, 1, false],
    [1, 5_000, false],
    [null, null, false],
  ])('to another authority: %j for %j ms: %j', (count, oldestAgeMs, ok) => {
    for (const [from, to] of AUTHORITY_CHANGES) {
      const found = failing(from, to, { pending: { count, oldestAgeMs } });
      expect(found).toEqual(ok ? [] : ['pending safety']);
    }
  });

  it('follows the settings', () => {
    const pending = { count: 1, oldestAgeMs: 10 };
    const settings = { 'gate-primary-pending': 0 };
    expect(failing('shadow-read', 'postgres-primary', { pending }, settings)).toEqual(['pending safety']);
    expect(failing('shadow-read', 'postgres-primary', {}, settings)).toEqual([]);
  });
});

describe.each(AUTHORITY_CHANGES)('%s → %s', (from, to) => {
  it.each([
    ['orphans', { orphans: { count: 1, oldestAgeMs: 5 } }],
    ['orphans', { orphans: { count: null, oldestAgeMs: null } }],
    ['poison', { notes: { poison: 1, conflict: 0, quarantine: 0 } }],
    ['conflicts', { notes: { poison: 0, conflict: 1, quarantine: 0 } }],
    ['quarantine', { notes: { poison: 0, conflict: 0, quarantine: 1 } }],
  ])('needs no %s: %j', (name, facts) => {
    expect(failing(from, to, facts)).toEqual([`${name} safety`]);
  });

  it('needs to know that there is none', () => {
    const notes = { poison: null, conflict: null, quarantine: null };
    expect(failing(from, to, { notes })).toEqual(
      ['poison', 'conflicts', 'quarantine'].map((name) => `${name} safety`),
    );
  });

  it('needs comparisons, and mismatches at most', () => {
    const shadow = (compared: number, mismatches: number) => ({
      shadow: { windowMs: 24 * HOUR_MS, compared, mismatches },
    });
    expect(failing(from, to, shadow(9_999, 0))).toEqual(['comparisons evidence']);
    expect(failing(from, to, shadow(10_000, 1))).toEqual(['mismatches evidence']);
    expect(failing(from, to, shadow(0, 0), { 'gate-primary-comparisons': 0 })).toEqual([]);
    expect(failing(from, to, shadow(20_000, 2), { 'gate-primary-mismatches': 2 })).toEqual([]);
  });

  describe.each(['verify', 'snapshot'] as const)('%s', (name) => {
    const withLast = (
      last: GateFacts['evidence']['verify'],
      backfill: GateFacts['evidence']['backfill'] = null,
    ) => ({
      evidence: { verify: DONE, snapshot: DONE, backfill, [name]: last },
    });
    const CLOCKS = [-HOUR_MS, 0, 5_000].map((aheadMs) => NOW_MS + aheadMs);

    it('is asked for, not too old, since the last copy', () => {
      expect(failing(from, to, withLast(null))).toEqual([`${name} evidence`]);
      expect(failing(from, to, withLast({ ...DONE, atMs: NOW_MS - 24 * HOUR_MS }))).toEqual([]);
      expect(failing(from, to, withLast({ ...DONE, atMs: NOW_MS - 24 * HOUR_MS - 1 }))).toEqual([
        `${name} evidence`,
      ]);
    });

    it.each(CLOCKS)('is of this very copy, whatever the clock says of it (%i)', (atMs) => {
      expect(failing(from, to, withLast({ ...DONE, atMs }))).toEqual([]);
      for (const copy of ['run-0', null]) {
        expect(failing(from, to, withLast({ ...DONE, copy, atMs }))).toEqual([`${name} evidence`]);
        expect(failing(from, to, withLast({ ...DONE, copy, atMs, clean: false }))).toEqual([
          `${name} evidence`,
        ]);
      }
    });

    it('that failed is no lack of evidence, and no force passes it', () => {
      expect(failing(from, to, withLast({ ...DONE, clean: false }))).toEqual([`${name} safety`]);
    });

    it('has nothing to say where both stores began empty and nothing was copied', () => {
      const record = recordIn(from, { copy: EMPTY_RUN });
      expect(failing(from, to, { ...withLast(null), record })).toEqual([]);
      expect(failing(from, to, { ...withLast(null, DONE), record })).toContain(`${name} evidence`);
      const unclean = { ...DONE, copy: EMPTY_RUN.run, clean: false };
      expect(failing(from, to, { ...withLast(unclean), record })).toEqual([`${name} safety`]);
    });
  });

  it('under force fails only for what nobody may override', () => {
    const gates = gatesOf(from, to, {
      shadow: { windowMs: 1, compared: 0, mismatches: 9 },
      evidence: { verify: null, snapshot: null, backfill: null },
      notes: { poison: 1, conflict: 0, quarantine: 0 },
    });
    expect(failingGates(gates, false).map(({ name }) => name)).toEqual(['poison', ...EVIDENCE]);
    expect(failingGates(gates, true).map(({ name }) => name)).toEqual(['poison']);
  });
});

describe('each bound of a gate is a setting of its own', () => {
  const pending = { count: 5, oldestAgeMs: 50 };
  const last = { ...DONE, atMs: NOW_MS - 2 * HOUR_MS };
  it.each<[string, Mode, Mode, Partial<GateFacts>, Partial<Settings>]>([
    ['pending', 'dual-write', 'shadow-read', { pending }, { 'gate-shadow-pending': 5 }],
    ['pending', 'dual-write', 'shadow-read', { pending }, { 'gate-shadow-oldest-ms': 50 }],
    ['pending', 'shadow-read', 'postgres-primary', { pending }, { 'gate-primary-pending': 5 }],
    ['pending', 'shadow-read', 'postgres-primary', { pending }, { 'gate-primary-oldest-ms': 50 }],
    [
      'verify',
      'shadow-read',
      'postgres-primary',
      { evidence: { verify: last, snapshot: last, backfill: null } },
      { 'gate-verify-age-ms': HOUR_MS },
    ],
    [
      'snapshot',
      'shadow-read',
      'postgres-primary',
      { evidence: { verify: last, snapshot: last, backfill: null } },
      { 'gate-snapshot-age-ms': HOUR_MS },
    ],
    [
      'soak',
      'postgres-primary',
      'postgres-only',
      { soak: { sinceMs: NOW_MS - 24 * HOUR_MS, trouble: null } },
      { 'gate-only-soak-ms': 25 * HOUR_MS },
    ],
  ])('%s, %s → %s: %j fails only by %j', (name, from, to, facts, settings) => {
    expect(failing(from, to, facts)).toEqual([]);
    expect(failing(from, to, facts, settings).map((each) => each.split(' ')[0])).toEqual([name]);
  });
});

describe('writes by others', () => {
  const SEEN = { open: 0, watch: 'watching', unwatchedSinceMs: null, why: null } as const;
  it.each<[string, GateFacts['foreign'], readonly string[]]>([
    ['none', SEEN, []],
    ['some', { ...SEEN, open: 1 }, ['foreign-writes safety']],
    ['nobody knows how many', { ...SEEN, open: null }, ['foreign-writes safety']],
    ['a time that nobody saw', { ...SEEN, unwatchedSinceMs: NOW_MS - 5 }, ['foreign-watch evidence']],
    ['nobody knows who watches', { ...SEEN, watch: 'unknown' }, ['foreign-watch evidence']],
    ['a server without a change stream', { ...SEEN, watch: 'unsupported', why: 'standalone' }, []],
  ])('%s', (_what, foreign, failures) => {
    for (const [from, to] of [['dual-write', 'shadow-read'] as const, ...AUTHORITY_CHANGES]) {
      expect(failing(from, to, { foreign })).toEqual(failures);
    }
  });
});

describe('the soak before postgres-only', () => {
  const soaked = (sinceMs: number | null, troubleMs: number | null = null) => ({
    soak: { sinceMs, trouble: troubleMs === null ? null : { what: 'a fallback', atMs: troubleMs } },
  });
  it.each([
    ['long enough', soaked(NOW_MS - 24 * HOUR_MS), true],
    ['too short', soaked(NOW_MS - 24 * HOUR_MS + 1), false],
    ['disturbed', soaked(NOW_MS - 48 * HOUR_MS, NOW_MS - HOUR_MS), false],
    ['disturbed long ago', soaked(NOW_MS - 48 * HOUR_MS, NOW_MS - 25 * HOUR_MS), true],
    ['disturbed before it', soaked(NOW_MS - 24 * HOUR_MS, NOW_MS - 30 * HOUR_MS), true],
    ['of unknown age', soaked(null), false],
  ])('%s', (_, facts, ok) => {
    expect(failing('postgres-primary', 'postgres-only', facts)).toEqual(ok ? [] : ['soak evidence']);
  });

  it('can be turned off', () => {
    expect(failing('postgres-primary', 'postgres-only', soaked(null), { 'gate-only-soak-ms': 0 })).toEqual(
      [],
    );
  });
});

it.each([
  [0, '0 ms'],
  [340.4, '340 ms'],
  [1_000, '1 s'],
  [1_500, '1.5 s'],
  [5_000, '5 s'],
  [90_000, '90 s'],
  [24 * HOUR_MS, '24 h'],
  [72 * HOUR_MS, '3 d'],
  [Number.NaN, 'unknown'],
])('%d ms in words: %s', (ms, words) => {
  expect(duration(ms)).toBe(words);
});
