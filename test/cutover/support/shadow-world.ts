/** Two stores in memory, a clock that only moves when told to, and a member that holds its lease. */

import { fromControl } from '../../../cutover/control.ts';
import type { Environment } from '../../../cutover/environment.ts';
import type { Member } from '../../../cutover/instance/member.ts';
import { MODE_FACTS, type Mode } from '../../../cutover/mode.ts';
import type { Ticket } from '../../../cutover/protocol/admission.ts';
import { newInstance } from '../../../cutover/protocol/lease.ts';
import type { ControlRecord, Setting } from '../../../cutover/protocol/types.ts';
import { settingsOf } from '../../../cutover/settings.ts';
import type { Telemetry } from '../../../cutover/telemetry.ts';
import type { StoreName } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';
import { ENTITIES } from '../../../db/records.ts';
import type { Note } from '../../../db/replica.ts';
import { NOW } from '../../contract/fixtures.ts';
import { createMemoryStore, type MemoryStore, type Operation } from '../../support/memory/store.ts';

export const RETENTION_MS = 7 * 86_400_000;
export const DIGEST_KEY = Buffer.from('a key of this test alone');

export interface Clock {
  readonly environment: Environment;
  /** Moves time, waking every sleeper at its own moment, and lets what they do settle. */
  advance(ms: number): Promise<void>;
  /** The same in one leap: whoever sleeps less wakes late, once. */
  leap(ms: number): Promise<void>;
}

/** Everything that promises alone bring about has been brought about. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function manualClock(): Clock {
  let nowMs = 0;
  let count = 0;
  const sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  const environment: Environment = {
    now: () => ({ monotonicMs: nowMs, wallMs: NOW.getTime() + nowMs }),
    date: () => new Date(NOW.getTime() + nowMs),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const wake = (): void => {
          sleepers.delete(sleeper);
          resolve();
        };
        const sleeper = { atMs: nowMs + ms, wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake);
      }),
    random: () => 0.5,
    newId: () => {
      count += 1;
      return String(count).padStart(24, '0');
    },
  };
  return {
    environment,
    async leap(ms) {
      nowMs += ms;
      for (const { atMs, wake } of [...sleepers]) if (atMs <= nowMs) wake();
      await settle();
    },
    async advance(ms) {
      const untilMs = nowMs + ms;
      await settle();
      for (;;) {
        const [next] = [...sleepers].sort((a, b) => a.atMs - b.atMs);
        if (next === undefined || next.atMs > untilMs) break;
        nowMs = Math.max(nowMs, next.atMs);
        next.wake();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

export interface Recorded {
  readonly telemetry: Telemetry;
  readonly lines: { readonly level: string; readonly fields: unknown; readonly message: string }[];
  /** The sum of a counter over the labels given. */
  total(name: string, labels?: Readonly<Record<string, string>>): number;
  /** Everything that was told, as text. */
  text(): string;
}

export function recordTelemetry(): Recorded {
  const lines: { level: string; fields: unknown; message: string }[] = [];
  const counted: { name: string; labels: Readonly<Record<string, string>>; by: number }[] = [];
  const at = (level: string) => (fields: unknown, message: string) =>
    void lines.push({ level, fields, message });
  return {
    telemetry: {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      count: (name, labels, by = 1) => void counted.push({ name, labels, by }),
      observe: () => {},
    },
    lines,
    total: (name, labels = {}) =>
      counted
        .filter((each) => each.name === name)
        .filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value))
        .reduce((sum, { by }) => sum + by, 0),
    text: () => JSON.stringify([lines, counted]),
  };
}

/** A member under this record, with its lease, until told otherwise. */
export interface TestMember extends Member {
  follow(change: Partial<ControlRecord>): void;
  set(settings: Readonly<Record<string, Setting>>): void;
  ticket(): Ticket;
  leased: boolean;
}

export function controlOf(mode: Mode, given: Partial<ControlRecord> = {}): ControlRecord {
  return {
    mode,
    revision: 1,
    epoch: 1,
    transition: null,
    changedBy: null,
    copy: { kind: 'complete', run: 'started-empty', completedAtMs: 0, verifiedAtMs: null },
    settings: {},
    ...given,
  };
}

export function testMember(mode: Mode): TestMember {
  let record = controlOf(mode);
  const ticket = (): Ticket => ({
    incarnation: 1,
    epoch: record.epoch,
    revision: record.revision,
    mode: record.mode,
    store: MODE_FACTS[record.mode].authority,
  });
  const inFlight = { settle: () => {}, settleLater: () => {} };
  const unused = (): never => {
    throw new Error('not asked in these tests');
  };
  const member: TestMember = {
    id: 'instance-1',
    leased: true,
    state: () => newInstance('instance-1'),
    record: () => record,
    mode: () => record.mode,
    settings: () => settingsOf(record),
    admit: unused,
    admitNow: unused,
    permitWork: () =>
      member.leased
        ? { ticket: ticket(), mayContinue: () => member.leased, beginRepair: () => inFlight }
        : null,
    onFollow: () => () => {},
    follow: (change) => {
      record = { ...record, ...change };
    },
    set: (settings) => {
      record = { ...record, settings: { ...record.settings, ...settings } };
    },
    ticket,
  };
  return member;
}

export interface World extends Clock {
  readonly mongo: MemoryStore;
  readonly postgres: MemoryStore;
  readonly authority: MemoryStore;
  readonly other: MemoryStore;
  readonly member: TestMember;
  readonly recorded: Recorded;
  /** Called before each operation of either store: may throw, or not return. */
  readonly faults: ((operation: Operation) => void | Promise<void>)[];
  /** Brings what is marked over, as the mirror would. */
  mirror(): Promise<void>;
  notes(kind: string): Promise<readonly Note[]>;
}

export async function openWorld(mode: Mode): Promise<World> {
  const clock = manualClock();
  const faults: World['faults'] = [];
  const before = async (operation: Operation): Promise<void> => {
    for (const fault of faults) await fault(operation);
  };
  const open = (name: StoreName) =>
    createMemoryStore({ name, now: clock.environment.date, hooks: { before } });
  const stores = { mongo: open('mongo'), postgres: open('postgres') };
  const member = testMember(mode);
  const authority = stores[MODE_FACTS[mode].authority];
  const other = authority === stores.mongo ? stores.postgres : stores.mongo;
  for (const store of [authority, other]) await store.books.createControl(fromControl(controlOf(mode)));
  return {
    ...clock,
    ...stores,
    authority,
    other,
    member,
    recorded: recordTelemetry(),
    faults,
    mirror: () => mirrorOnce(authority, other, 1),
    notes: (kind) => authority.books.notes(kind, { limit: 10_000 }),
  };
}

/** One pass of a mirror that is never wrong: users first, since sessions need them. */
export async function mirrorOnce(authority: Store, other: Store, epoch: number): Promise<void> {
  const marks = await authority.replica.marks({ limit: 1_000 });
  for (const entity of ENTITIES) {
    const ids = marks.filter((mark) => mark.entity === entity).map(({ id }) => id);
    if (ids.length === 0) continue;
    const { found } = await authority.replica.read(entity, ids);
    const records = [...found.values()].map(({ record }) => record);
    await other.replica.apply(entity, records, { epoch, expiredBefore: new Date(0) });
    await authority.replica.clearMarks(records.map(({ id, stamp }) => ({ entity, id, stamp })));
  }
}
