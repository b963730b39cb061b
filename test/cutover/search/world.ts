/**
 * One state of the model: two stores, two instances, three operations, two coordinators and what is on its way between
 * them. Its parts are the protocol's own types. Time is relative: now is 0 and everything earlier is negative, so that
 * states differing only in when they happened are one. For the same reason the present incarnation is always 1 (an
 * earlier one 0, a dead process's -1), revisions and counters are 0, and a watch is forgotten once its counter moved.
 */
import type { Mode } from '../../../cutover/mode.ts';
import type { Ticket } from '../../../cutover/protocol/admission.ts';
import type { CoordinatorState } from '../../../cutover/protocol/coordinator.ts';
import { type Heartbeat, type InstanceState, newInstance } from '../../../cutover/protocol/lease.ts';
import type { ControlRecord, LeaseRow, Timing } from '../../../cutover/protocol/types.ts';
import type { StoreName } from '../../../db/errors.ts';
import type { Stamp } from '../../../db/records.ts';

/** A record's content is the set of operations it shows, one bit each: so a lost one is seen at once. */
export interface Stored {
  readonly stamp: Stamp;
  readonly bits: number;
  readonly pending: boolean;
}
export type Data = readonly (Stored | null)[];

export interface InstancePart {
  readonly alive: boolean;
  readonly state: InstanceState;
  readonly beat: {
    readonly heartbeat: Heartbeat;
    readonly done: 0 | 1 | 2;
    readonly read: ControlRecord | null;
  } | null;
}

export interface OperationPart {
  readonly phase: 'todo' | 'admitted' | 'sending' | 'between' | 'answered' | 'acked' | 'over';
  readonly ticket: Ticket | null;
  /** Which of its writes. */
  readonly step: 0 | 1;
  readonly expected: Stamp | null;
  readonly bits: number;
  /** Ghost: operations that had been acknowledged when this one began. */
  readonly after: number;
  /** Ghost: committed behind a fence by somebody no longer waited for. */
  readonly stray: boolean;
}

export interface Incoming {
  readonly record: number;
  readonly stamp: Stamp;
  readonly bits: number;
}

/** What an instance's mirror worker has on its way. */
export type Task =
  | { readonly kind: 'apply'; readonly ticket: Ticket; readonly batch: readonly Incoming[] }
  | { readonly kind: 'clear'; readonly ticket: Ticket; readonly batch: readonly Incoming[] }
  | { readonly kind: 'clash'; readonly ticket: Ticket; readonly incoming: Incoming; readonly holder: number }
  | {
      readonly kind: 'touch';
      readonly ticket: Ticket;
      readonly record: number;
      readonly expected: Stamp;
      readonly stamp: Stamp;
    }
  | {
      readonly kind: 'move-aside';
      readonly ticket: Ticket;
      readonly record: number;
      readonly expected: Stamp;
    };

export type CoordinatorPart = CoordinatorState | 'idle' | 'over';

export interface Environment {
  readonly mongoUp: boolean;
  readonly postgresUp: boolean;
  readonly faultsLeft: number;
  readonly bad: string | null;
}

export interface World {
  readonly cm: ControlRecord;
  readonly cp: ControlRecord;
  readonly rm: readonly (LeaseRow | null)[];
  readonly rp: readonly (LeaseRow | null)[];
  readonly dm: Data;
  readonly dp: Data;
  readonly i0: InstancePart;
  readonly i1: InstancePart;
  readonly o0: OperationPart;
  readonly o1: OperationPart;
  readonly o2: OperationPart;
  readonly k0: CoordinatorPart;
  readonly k1: CoordinatorPart;
  readonly t0: Task | null;
  readonly t1: Task | null;
  readonly env: Environment;
}

export type Draft = { -readonly [K in keyof World]: World[K] };

export const CONTROL = { mongo: 'cm', postgres: 'cp' } as const;
export const ROWS = { mongo: 'rm', postgres: 'rp' } as const;
export const DATA = { mongo: 'dm', postgres: 'dp' } as const;
export const INSTANCES = ['i0', 'i1'] as const;
export const OPERATIONS = ['o0', 'o1', 'o2'] as const;
export const COORDINATORS = ['k0', 'k1'] as const;
export const TASKS = ['t0', 't1'] as const;

export function timingOf(leaseTicks: number): Timing {
  const zero = { heartbeatMs: 0, pollMs: 0, fastPollMs: 0, marginMs: 0, deadlineMs: 0 };
  return { ...zero, leaseMs: leaseTicks, fenceMaxMs: Number.POSITIVE_INFINITY };
}

export function isUp(world: World, store: StoreName): boolean {
  return store === 'mongo' ? world.env.mongoUp : world.env.postgresUp;
}

const NOT_BEGUN: OperationPart = {
  phase: 'todo',
  ticket: null,
  step: 0,
  expected: null,
  bits: 0,
  after: 0,
  stray: false,
};
export const OVER: OperationPart = { ...NOT_BEGUN, phase: 'over' };

const CONTROL_START: ControlRecord = {
  mode: 'shadow-read',
  revision: 0,
  epoch: 1,
  transition: null,
  changedBy: null,
  copy: { kind: 'complete', run: 'started-empty', completedAtMs: 0, verifiedAtMs: null },
  settings: {},
};

/** Both stores alike, in `shadow-read` under epoch 1, both instances serving. How they came to is in `restart`. */
export function firstWorld(
  records: readonly (number | null)[],
  isBegun: (operation: number) => boolean,
  faults: number,
  leaseMs: number,
): World {
  const data = records.map((bits) =>
    bits === null ? null : { stamp: { epoch: 1, version: 1 }, bits, pending: false },
  );
  const seen = { epoch: 1, revision: 0 };
  const following = { record: CONTROL_START, seen: { mongo: seen, postgres: seen } };
  const lease = { store: 'mongo', epoch: 1, startedAt: { monotonicMs: 0, wallMs: 0 }, leaseMs } as const;
  const instance = (id: string): InstancePart => ({
    alive: true,
    state: { ...newInstance(id), following, lease },
    beat: null,
  });
  const row = (instance: string): LeaseRow => ({
    instance,
    incarnation: 1,
    counter: 0,
    epoch: 1,
    revision: 0,
    ack: null,
    leaseMs,
  });
  return {
    cm: CONTROL_START,
    cp: CONTROL_START,
    rm: [row('0'), row('1')],
    rp: [null, null],
    dm: data,
    dp: data,
    i0: instance('0'),
    i1: instance('1'),
    o0: isBegun(0) ? NOT_BEGUN : OVER,
    o1: isBegun(1) ? NOT_BEGUN : OVER,
    o2: isBegun(2) ? NOT_BEGUN : OVER,
    k0: 'idle',
    k1: 'idle',
    t0: null,
    t1: null,
    env: { mongoUp: true, postgresUp: true, faultsLeft: faults, bad: null },
  };
}

const modeKey = (mode: Mode) => (mode === 'shadow-read' ? 'm' : 'p');
const stampKey = (stamp: Stamp | null) => (stamp === null ? '-' : `${stamp.epoch}.${stamp.version}`);
const ticketKey = (t: Ticket | null) => (t === null ? '-' : `${t.incarnation},${t.epoch}${t.store[0]}`);
const batchKey = (batch: readonly Incoming[]) =>
  batch.map((b) => `${b.record}:${stampKey(b.stamp)}:${b.bits}`).join(';');

export function controlKey(c: ControlRecord): string {
  const t = c.transition;
  return `${modeKey(c.mode)}${c.epoch}${t === null ? '-' : `${t.id}${t.phase[0]}${modeKey(t.target)}`}${c.changedBy ?? '-'}${c.revision < 0 ? '<' : ''}`;
}
function rowsKey(rows: readonly (LeaseRow | null)[]): string {
  return rows
    .map((r) => (r === null ? '-' : `${r.epoch}${r.ack === null ? '' : r.ack.id + r.ack.phase[0]}`))
    .join('|');
}
function dataKey(data: Data): string {
  return data
    .map((r) => (r === null ? '-' : `${stampKey(r.stamp)}:${r.bits}${r.pending ? '!' : ''}`))
    .join('|');
}
function instanceKey(part: InstancePart): string {
  const { lease, following } = part.state;
  const { record, seen } = following;
  const beat = part.beat;
  return [
    part.alive ? '+' : 'x',
    lease === null
      ? '-'
      : `${lease.store[0]}${lease.epoch}@${lease.startedAt.monotonicMs},${lease.startedAt.wallMs}`,
    record === null ? '-' : controlKey(record),
    `${seen.mongo?.epoch ?? '-'}${seen.postgres?.epoch ?? '-'}`,
    beat === null
      ? '-'
      : `${beat.done}${beat.heartbeat.store[0]}${beat.heartbeat.row.epoch},${beat.heartbeat.row.incarnation}@${beat.heartbeat.sentAt.monotonicMs},${beat.heartbeat.sentAt.wallMs}${beat.read === null ? '' : controlKey(beat.read)}`,
  ].join('/');
}
function operationKey(o: OperationPart): string {
  if (o.phase === 'todo' || o.phase === 'over') return o.phase + (o.stray ? 's' : '');
  if (o.phase === 'acked') return `acked${o.stray ? 's' : ''}`;
  return `${o.phase}/${ticketKey(o.ticket)}/${o.step}${stampKey(o.expected)}/${o.bits}/${o.after}${o.stray ? 's' : ''}`;
}
function taskKey(t: Task | null): string {
  if (t === null) return '-';
  const head = `${t.kind}/${ticketKey(t.ticket)}/`;
  switch (t.kind) {
    case 'apply':
    case 'clear':
      return head + batchKey(t.batch);
    case 'clash':
      return `${head}${batchKey([t.incoming])}<${t.holder}`;
    case 'touch':
      return `${head}${t.record}${stampKey(t.expected)}>${stampKey(t.stamp)}`;
    case 'move-aside':
      return `${head}${t.record}${stampKey(t.expected)}`;
  }
}
function coordinatorKey(k: CoordinatorPart): string {
  if (typeof k === 'string') return k;
  const watch = Object.entries(k.watch).map(([id, w]) => `${id}@${w.sinceMs}`);
  return `${k.transition.id}${modeKey(k.transition.target)}${k.stage}/${k.record.epoch}${k.record.changedBy ?? '-'}/${watch.join()}`;
}
function environmentKey(e: Environment): string {
  return `${e.mongoUp ? 1 : 0}${e.postgresUp ? 1 : 0}${e.faultsLeft}${e.bad ?? ''}`;
}

export interface Slot {
  readonly name: keyof World;
  /** The text that identifies this part. */
  readonly key: (part: World[keyof World]) => string;
}
function slot<K extends keyof World>(name: K, key: (part: World[K]) => string): Slot {
  return { name, key: (part) => key(part as World[K]) };
}

/** The parts in a fixed order. */
export const SLOTS: readonly Slot[] = [
  slot('cm', controlKey),
  slot('cp', controlKey),
  slot('rm', rowsKey),
  slot('rp', rowsKey),
  slot('i0', instanceKey),
  slot('i1', instanceKey),
  slot('k0', coordinatorKey),
  slot('k1', coordinatorKey),
  slot('dm', dataKey),
  slot('dp', dataKey),
  slot('o0', operationKey),
  slot('o1', operationKey),
  slot('o2', operationKey),
  slot('t0', taskKey),
  slot('t1', taskKey),
  slot('env', environmentKey),
];

/** A world seen through some other parts: nothing is read of what lies beneath but what is asked for. */
class Overlay {
  readonly beneath: World;
  readonly parts: Partial<Draft>;
  constructor(world: World, parts: Partial<World>) {
    this.beneath = world instanceof Overlay ? world.beneath : world;
    this.parts = world instanceof Overlay ? { ...world.parts, ...parts } : { ...parts };
  }
}
for (const { name } of SLOTS) {
  Object.defineProperty(Overlay.prototype, name, {
    get(this: Overlay) {
      return name in this.parts ? this.parts[name] : this.beneath[name];
    },
    set(this: Overlay, part: never) {
      this.parts[name] = part;
    },
  });
}

/** A successor in the making: `world` with these parts in place of its own, and whatever is assigned to it next. */
export function draftOf(world: World, parts: Partial<World> = {}): Draft {
  return new Overlay(world, parts) as unknown as Draft;
}

/** The parts that were assigned to a draft. */
export function partsOf(draft: World): Partial<World> {
  return draft instanceof Overlay ? draft.parts : {};
}
