/** The parts of a run that need no servers: plans, turns, what an answer means, what a verdict asks for. */
import { describe, expect, test } from 'vitest';
import { describeFault, describeStrike, planFaults, planStrikes, WHOLE_ROUND } from './faults/plan.ts';
import { compare } from './final/compare.ts';
import type { Contents, Row } from './final/records.ts';
import { biteOf } from './flips/ladder.ts';
import type { End, Strike } from './flips/operator.ts';
import { outcomeOf } from './history/recorder.ts';
import { CLIENT_KINDS, type Operation } from './history/types.ts';
import { createRandom } from './random.ts';
import { optionsFor } from './run.ts';
import { type Evidence, judgeRun } from './verdict.ts';

describe('a plan', () => {
  const draw = (seed: number) => planFaults(createRandom(seed), 14, ['a', 'b', 'c']).map(describeFault);

  test('is the same for the same seed, and another for another', () => {
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test.each([1, 2, 3, 4, 5])(
    'has every kind of fault, then those of the other store, before any comes again',
    (seed) => {
      const faults = planFaults(createRandom(seed), 2 * WHOLE_ROUND, ['a']);
      const inWords = faults.map((fault) => ('store' in fault ? `${fault.kind} ${fault.store}` : fault.kind));
      expect(new Set(faults.slice(0, 8).map(({ kind }) => kind)).size).toBe(8);
      expect(new Set(inWords.slice(0, WHOLE_ROUND)).size).toBe(WHOLE_ROUND);
      expect(new Set(inWords.slice(WHOLE_ROUND))).toEqual(new Set(inWords.slice(0, WHOLE_ROUND)));
    },
  );

  test('has a whole round in five minutes, and stores that are away for longer than a statement gets and a lease', () => {
    expect(optionsFor(5, 1).faults).toBeGreaterThanOrEqual(WHOLE_ROUND);
    const long = planFaults(createRandom(1), 10 * WHOLE_ROUND, ['a']).filter(
      ({ kind, lastsMs }) => kind === 'stop-store' && lastsMs > 5_500,
    );
    expect(new Set(long.map((fault) => 'store' in fault && fault.store)).size).toBe(2);
  });

  test('kills and stops a coordinator at each of its steps', () => {
    const strikes = planStrikes('change of authority', 1, 24).map(({ step, signal }) => `${signal} ${step}`);
    expect(new Set(strikes).size).toBe(24);
    expect(strikes).toContain('SIGKILL lose');
    expect(strikes).toContain('SIGSTOP gain');
  });

  test('does so at each step of a flip without a change of authority, too', () => {
    const { flipStrikes } = optionsFor(10, 1);
    const strikes = planStrikes('flip', 7, flipStrikes);
    expect(new Set(strikes.map(({ step, signal }) => `${signal} ${step}`)).size).toBe(8);
    expect(strikes.map(describeStrike)).toContain('stop-coordinator of a flip at acknowledge');
    expect(strikes.every(({ of }) => of === 'flip')).toBe(true);
  });
});

describe('a strike', () => {
  const end = (result: string): End => ({ kind: 'end', result, mode: null, pauseMs: null, reasons: [] });
  const strike = (signal: Strike['signal']): Strike => ({ of: 'flip', step: 'gates', signal });

  test.each([
    ['SIGKILL', null, end('done'), 'killed before that step; a successor made the move'],
    ['SIGKILL', null, end('aborted'), null],
    ['SIGKILL', null, null, null],
    ['SIGKILL', end('done'), end('done'), null],
    ['SIGSTOP', end('refused'), end('done'), 'stopped, overtaken, and then it said: refused'],
    ['SIGSTOP', end('done'), end('refused'), null],
  ] as const)(
    'by %s has bitten only when a successor came to the end (%#)',
    (signal, struck, successor, seen) => {
      expect(biteOf(strike(signal), struck, successor)).toBe(seen);
    },
  );
});

describe('an answer', () => {
  const answered = (status: number, code?: string) =>
    outcomeOf({ kind: 'answer', status, body: code === undefined ? {} : { code } }).kind;

  test('tells what was done only when it says so', () => {
    expect(answered(204)).toBe('ok');
    expect(answered(401, 'unauthenticated')).toBe('refused');
    expect(answered(503, 'overloaded')).toBe('failed');
    expect(answered(503, 'store_unavailable')).toBe('unknown');
    expect(answered(500, 'internal')).toBe('unknown');
    expect(answered(502)).toBe('unknown');
    expect(outcomeOf({ kind: 'lost', reason: 'ECONNRESET' }).kind).toBe('unknown');
    expect(outcomeOf({ kind: 'unreachable', reason: 'ECONNREFUSED' }).kind).toBe('failed');
  });
});

describe('two stores', () => {
  const contents = (user: Row): Contents => ({
    rows: {
      users: new Map([['u1', user]]),
      verification_tokens: new Map(),
      password_reset_tokens: new Map(),
      sessions: new Map(),
    },
    marked: 0,
  });
  const user = { id: 'u1', name: 'Ada', epoch: 1, version: 3, deleted_at: null };

  test('are alike when every field is', () => {
    expect(compare(contents(user), contents({ ...user }))).toEqual([]);
    const { deleted_at: _, ...missing } = user;
    expect(compare(contents(user), contents(missing))).toEqual([]);
  });

  test('differ by one byte under an equal stamp, and no value is told', () => {
    const found = compare(contents(user), contents({ ...user, name: 'Adb' }));
    expect(found).toEqual([{ table: 'users', id: 'u1', field: 'name', what: 'differs' }]);
  });

  test('differ when only one has a record', () => {
    const empty = { ...contents(user), rows: { ...contents(user).rows, users: new Map() } };
    expect(compare(contents(user), empty)).toHaveLength(1);
  });
});

describe('a verdict', () => {
  const signup = (id: number, outcome: Operation['outcome']): Operation => ({
    id,
    email: `person-${id}@example.test`,
    call: { kind: 'signup', password: 'p' },
    instance: 'a',
    invokedMs: id,
    completedMs: id + 1,
    outcome,
  });
  const evidence: Evidence = {
    operations: [signup(1, { kind: 'ok', answer: {} })],
    windows: { covers: () => false },
    leewayMs: 1_000,
    okMin: 0,
    caughtMin: 0,
    bites: [{ what: 'kill-store mongo', seen: 'gone' }],
    leftOver: [],
    findings: [],
  };

  test('holds when nothing is against it', () => {
    expect(judgeRun(evidence)).toMatchObject({ holds: true, problems: [] });
  });

  test.each<[string, Partial<Evidence>, number]>([
    ['too few of a kind', { okMin: 1 }, CLIENT_KINDS.length - 1],
    ['no theft and no superseded reset token that was caught', { caughtMin: 1 }, 2],
    ['a fault that did not bite', { bites: [{ what: 'x', seen: null }] }, 1],
    ['a fault that never came', { leftOver: ['x'] }, 1],
    ['a finding', { findings: ['x'] }, 1],
    [
      'unknown outcomes without a fault',
      { operations: [1, 2].map((id) => signup(id, { kind: 'unknown', reason: 'x' })) },
      1,
    ],
    [
      'a history that cannot be explained',
      {
        operations: [1, 2].map((id) => ({ ...signup(id, { kind: 'ok', answer: {} }), email: 'same' })),
      },
      1,
    ],
  ])('does not hold: %s', (_, against, problems) => {
    const verdict = judgeRun({ ...evidence, ...against });
    expect(verdict.holds).toBe(false);
    expect(verdict.problems).toHaveLength(problems);
  });

  const many = (count: number, outcome: Operation['outcome'], from = 0) =>
    Array.from({ length: count }, (_, n) => signup(from + n, outcome));
  const OK = { kind: 'ok', answer: {} } as const;
  const UNKNOWN = { kind: 'unknown', reason: 'x' } as const;

  test('wants each kind as often as it says, and not once more', () => {
    const tooFew = (count: number) =>
      judgeRun({ ...evidence, operations: many(count, OK), okMin: 100 }).problems.filter((problem) =>
        problem.includes('signup'),
      );
    expect(tooFew(99)).toEqual(['only 99 of signup went well, 100 are wanted']);
    expect(tooFew(100)).toEqual([]);
    for (const kind of CLIENT_KINDS.filter((each) => each !== 'signup')) {
      expect(judgeRun({ ...evidence, operations: many(100, OK), okMin: 100 }).problems).toContain(
        `only 0 of ${kind} went well, 100 are wanted`,
      );
    }
  });

  test('counts what went well, and nothing else, towards that', () => {
    const failed = many(50, { kind: 'failed', reason: 'x' }, 99);
    const operations = [...many(99, OK), ...failed, ...many(1, UNKNOWN, 500)];
    expect(judgeRun({ ...evidence, operations, okMin: 100 }).problems).toContain(
      'only 99 of signup went well, 100 are wanted',
    );
  });

  test.each([
    [95, 5, true],
    [94, 5, false],
    [190, 10, true],
    [189, 10, false],
    [0, 1, false],
  ])('of %i known and %i unknown outcomes without a fault: %s', (known, unknown, holds) => {
    const operations = [...many(known, OK), ...many(unknown, UNKNOWN, known)];
    const verdict = judgeRun({ ...evidence, operations });
    expect(verdict).toMatchObject({ holds, unknownOutsideFaults: unknown });
    expect(verdict.problems).toEqual(
      holds ? [] : [`${unknown} of ${known + unknown} outcomes outside faults are unknown`],
    );
  });

  test('wants no more than a twentieth of the requests without a fault to have been turned away', () => {
    const failed = (count: number) => many(count, { kind: 'failed', reason: 'overloaded' }, 95);
    expect(judgeRun({ ...evidence, operations: [...many(95, OK), ...failed(5)] }).problems).toEqual([]);
    expect(judgeRun({ ...evidence, operations: [...many(95, OK), ...failed(6)] }).problems).toEqual([
      '6 of 101 requests outside faults were turned away',
    ]);
  });

  test('what happened during a fault makes no share of the calm smaller', () => {
    const [calm, faulty] = [[...many(94, OK), ...many(5, UNKNOWN, 94)], many(900, OK, 99)];
    const windows = { covers: ({ id }: Operation) => id >= 99 };
    expect(judgeRun({ ...evidence, operations: [...calm, ...faulty], windows }).problems).toEqual([
      '5 of 99 outcomes outside faults are unknown',
    ]);
  });

  test('wants each fault that was planned to have been seen', () => {
    const bites = [
      { what: 'kill-store mongo', seen: 'gone' },
      { what: 'freeze a', seen: null },
    ];
    expect(judgeRun({ ...evidence, bites }).problems).toEqual(['was not seen to bite: freeze a']);
  });

  test('a long run wants a hundred of each kind', () => {
    expect([5, 10, 60].map((minutes) => optionsFor(minutes, 1).okMin)).toEqual([100, 100, 100]);
    expect(optionsFor(4.9, 1).okMin).toBeLessThan(100);
  });

  test('a long run wants dozens of thefts and superseded reset tokens caught', () => {
    expect([5, 10, 60].map((minutes) => optionsFor(minutes, 1).caughtMin)).toEqual([25, 25, 25]);
    expect(optionsFor(0.1, 1).caughtMin).toBe(1);
    const { problems } = judgeRun({ ...evidence, caughtMin: 25 });
    expect(problems).toEqual([
      'only 0 times was the reuse of a refresh token detected, 25 are wanted',
      'only 0 times was a superseded reset token refused, 25 are wanted',
    ]);
  });

  test('excuses unknown outcomes during a fault', () => {
    const operations = [1, 2].map((id) => signup(id, { kind: 'unknown', reason: 'x' }));
    expect(judgeRun({ ...evidence, operations, windows: { covers: () => true } }).holds).toBe(true);
  });
});
