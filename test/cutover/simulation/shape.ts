/** How long a run is, and what fills it. */
import type { Mode } from '../../../cutover/mode.ts';
import type { ControlRecord } from '../../../cutover/protocol/types.ts';
import type { Random } from './random.ts';

export const KINDS = ['long', 'short', 'first'] as const;
export type Kind = (typeof KINDS)[number];

type Range = readonly [min: number, max: number];

export interface Shape {
  readonly kind: Kind;
  readonly firstMode: Mode;
  readonly instances: number;
  readonly clients: number;
  /** Accounts that both stores hold from the beginning, an hour old. */
  readonly accounts: number;
  /** When each begins, ms. */
  readonly instanceStartMs: Range;
  readonly clientStartMs: Range;
  readonly operatorStartMs: Range;
  /** A client's pause between two requests, and how long a password is checked, ms. */
  readonly thinkMs: Range;
  readonly hashMs: Range;
  /** An operator's pause before each move, ms. */
  readonly hesitateMs: Range;
  /** Clients and operators go home then, ms, or once so many moves have been tried. */
  readonly busyMs: number;
  readonly movesMax: number;
  /** Rest is given in slices, until nothing is left to do. */
  readonly restMinMs: number;
  readonly restSliceMs: number;
  readonly restMaxMs: number;
  readonly storeTimeoutMs: number;
  readonly settings: ControlRecord['settings'];
}

/** Everything a few times faster than in service, in the same proportions. */
const SETTINGS: ControlRecord['settings'] = {
  'poll-ms': 200,
  'fast-poll-ms': 10,
  'heartbeat-ms': 150,
  'lease-ms': 600,
  'margin-ms': 250,
  'deadline-ms': 1_500,
  'flip-attempts': 1,
  'mirror-retry-max-ms': 500,
  'breaker-window-ms': 1_000,
  'breaker-half-open-ms': 300,
  'gate-primary-comparisons': 0,
  'gate-only-soak-ms': 0,
};

/** A margin that just covers clocks that run differently, so that little stands between a rule and what it is for. */
const HASTY: ControlRecord['settings'] = {
  ...SETTINGS,
  'poll-ms': 130,
  'fast-poll-ms': 20,
  'shadow-sample': 0.1,
  'flip-attempts': 0,
  'heartbeat-ms': 80,
  'lease-ms': 300,
  'margin-ms': 50,
  'deadline-ms': 500,
  'mirror-retry-max-ms': 100,
  'breaker-half-open-ms': 100,
};

const FIRST_MODES: readonly Mode[] = [
  'dual-write',
  'shadow-read',
  'shadow-read',
  'postgres-primary',
  'postgres-primary',
];

/** A stretch of service: authority moves now and then, and modes change besides. */
function drawLong(random: Random): Shape {
  return {
    kind: 'long',
    firstMode: random.pick(FIRST_MODES),
    instances: 2 + random.below(3),
    clients: 4,
    accounts: 0,
    instanceStartMs: [0, 100],
    clientStartMs: [300, 400],
    operatorStartMs: [300, 1_500],
    thinkMs: [5, 160],
    hashMs: [5, 80],
    hesitateMs: [50, 700],
    busyMs: 9_000,
    movesMax: Number.POSITIVE_INFINITY,
    restMinMs: 1_500,
    restSliceMs: 250,
    restMaxMs: 40_000,
    storeTimeoutMs: 250,
    // A fence that lasts longer than a lease waits out who falls silent behind it; a shorter one gives up.
    settings: { ...SETTINGS, 'fence-max-ms': random.chance(0.5) ? 400 : 2_000 },
  };
}

/** One or two changes of authority, and what clients do around them. */
function drawShort(random: Random): Shape {
  return {
    kind: 'short',
    firstMode: random.pick(['shadow-read', 'postgres-primary']),
    instances: random.pick([1, 2, 2, 3]),
    clients: 2 + random.below(2),
    accounts: 3,
    instanceStartMs: [0, 10],
    clientStartMs: [180, 260],
    operatorStartMs: [10, 20],
    thinkMs: [2, 30],
    hashMs: [1, 25],
    hesitateMs: [10, 60],
    busyMs: 1_000,
    movesMax: random.chance(0.7) ? 1 : 2,
    restMinMs: 50,
    restSliceMs: 50,
    restMaxMs: 40_000,
    storeTimeoutMs: 200,
    settings: { ...HASTY, 'fence-max-ms': random.chance(0.3) ? 300 : 1_000 },
  };
}

/** A new system whose mirror starts empty: up and down under one authority, by operators who often stand still. */
function drawFirst(random: Random): Shape {
  return {
    ...drawShort(random),
    kind: 'first',
    firstMode: 'mongo-only',
    instances: random.pick([1, 2]),
    accounts: 0,
    // Whether both stores are empty has been seen by then, as a rule.
    clientStartMs: [400, 800],
    busyMs: 4_000,
    movesMax: Number.POSITIVE_INFINITY,
  };
}

const DRAWS: Readonly<Record<Kind, (random: Random) => Shape>> = {
  long: drawLong,
  short: drawShort,
  first: drawFirst,
};

export const drawShape = (kind: Kind, random: Random): Shape => DRAWS[kind](random);
