/** What a copy does about a slow service, decided without any store. */
import { describe, expect, it } from 'vitest';
import type { LeaseReport } from '../../cutover/control.ts';
import { decideStrain, FREE, isUnheard, type Strain, slowestMs } from '../../cutover/copy/strain.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { createLatency } from '../../cutover/latency.ts';
import { watchRows } from '../../cutover/protocol/silence.ts';
import { DEFAULT_TIMING } from '../../cutover/protocol/types.ts';

const BOUNDS = { 'backfill-slow-p99-ms': 200, 'backfill-stop-p99-ms': 1_000 };
const at = (strain: Strain, p99Ms: number | null, perSecond = 4_000, bounds = BOUNDS): Strain =>
  decideStrain(strain, { p99Ms, perSecond }, bounds);

describe('a copy beside a service', () => {
  it('is free while the service is fast, or says nothing', () => {
    expect([at(FREE, 200), at(FREE, null)]).toEqual([FREE, FREE]);
  });

  it('goes half as fast with each look at a slow service, but never stands still', () => {
    const first = at(FREE, 201);
    expect(first).toEqual({ kind: 'slowed', rate: 2_000, before: 4_000, p99Ms: 201, boundMs: 200 });
    expect(at(first, 300, 1_999)).toMatchObject({ rate: 1_000, before: 4_000, p99Ms: 300 });
    let strain: Strain = first;
    for (let look = 0; look < 20; look += 1) strain = at(strain, 999);
    expect(strain).toMatchObject({ kind: 'slowed', rate: 10 });
  });

  it('grows fast again when the service has, up to what it was', () => {
    const rates: number[] = [];
    let strain = at(at(FREE, 500), 500);
    for (; strain.kind === 'slowed'; strain = at(strain, rates.length === 1 ? null : 20))
      rates.push(strain.rate);
    expect(rates).toEqual([1_000, 1_500, 2_250, 3_375]);
    expect(strain).toEqual(FREE);
  });

  it('stops above the second bound, and heeds no bound that is 0', () => {
    expect(at(FREE, 1_001)).toEqual({
      ...{ kind: 'over', before: 4_000, p99Ms: 1_001, boundMs: 1_000 },
    });
    const none = { 'backfill-slow-p99-ms': 0, 'backfill-stop-p99-ms': 0 };
    expect(at(FREE, 50_000, 4_000, none)).toEqual(FREE);
    expect(at(at(FREE, 500), 500, 4_000, none)).toEqual(FREE);
  });
});

describe('a worker that has stopped', () => {
  it('begins anew as slowly as can be, and grows up to what it was before', () => {
    let strain = at(at(FREE, 500), 2_000, 1_500);
    expect(strain).toMatchObject({ kind: 'over', before: 4_000 });
    expect(at(strain, 1_001, 0)).toMatchObject({ kind: 'over', before: 4_000 });
    strain = at(strain, 900, 0);
    expect(strain).toMatchObject({ kind: 'slowed', rate: 10, before: 4_000, p99Ms: 900 });
    expect(at(strain, 20)).toMatchObject({ kind: 'slowed', rate: 15, before: 4_000 });
  });
});

describe('what instances say', () => {
  const row = (instance: string, counter: number, p99Ms: number | null): LeaseReport => ({
    instance,
    counter,
    incarnation: 1,
    epoch: 1,
    revision: 1,
    ack: null,
    leaseMs: 5_000,
    isReadable: true,
    facts: { reaches: [], p99Ms, mapping: '', host: null },
  });

  it('counts once its row was seen to move, until it has stood still for a lease', () => {
    const first = [row('a', 1, 30), row('dead', 7, 9_000)];
    let watch = watchRows({}, first, 0);
    expect(slowestMs(watch, first, 0, DEFAULT_TIMING)).toBeNull();
    expect(isUnheard(watch, first, 0, DEFAULT_TIMING)).toBe(true);
    expect(isUnheard(watch, [row('a', 1, null)], 0, DEFAULT_TIMING)).toBe(false);
    const second = [
      row('a', 2, 40),
      row('b', 1, 5_000),
      row('dead', 7, 9_000),
      { ...row('old', 1, 1), facts: null },
    ];
    watch = watchRows(watch, second, 2_000);
    expect(slowestMs(watch, second, 2_000, DEFAULT_TIMING)).toBe(40);
    const third = [row('a', 3, null), row('b', 2, 60)];
    watch = watchRows(watch, third, 4_000);
    expect(slowestMs(watch, third, 4_000, DEFAULT_TIMING)).toBe(60);
    expect(slowestMs(watch, third, 4_000 + 7_000, DEFAULT_TIMING)).toBeNull();
    const dead = watchRows({}, [row('dead', 7, 9_000)], 0);
    expect(isUnheard(dead, [row('dead', 7, 9_000)], 7_000, DEFAULT_TIMING)).toBe(false);
  });

  it('is of the last seconds, of twenty operations at least, and not of one alone', () => {
    let monotonicMs = 0;
    const environment = { ...systemEnvironment(), now: () => ({ monotonicMs, wallMs: 0 }) };
    const { note, p99Ms } = createLatency(environment);
    for (let each = 0; each < 19; each += 1) note(3);
    expect(p99Ms()).toBeNull();
    note(2_000);
    expect(p99Ms()).toBe(3);
    note(2_500);
    expect(p99Ms()).toBe(2_000);
    for (let each = 0; each < 1_000; each += 1) note(each);
    expect(p99Ms()).toBe(989);
    monotonicMs = 5_000;
    expect(p99Ms()).toBeNull();
  });
});
