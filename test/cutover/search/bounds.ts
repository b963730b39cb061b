/** How far the search goes: a short form that fits in a minute, and the whole bound, which takes as long as it takes. */
import type { Scenario } from './model.ts';
import { HANDOVER_SCENARIO, KEEP_SCENARIO, SESSION_SCENARIO, SIGNUP_SCENARIO } from './scenarios.ts';

const session = { ...SESSION_SCENARIO, restarts: true, workersOverlap: true } as const;
const [WRITE, LOGOUT, REFRESH] = [1, 2, 4] as const;

export const SHORT: readonly Scenario[] = [
  {
    ...session,
    name: 'write, logout, refresh; there and back; a lost message or coordinator',
    faults: 1,
    kinds: ['message', 'coordinator'],
  },
  { ...session, name: 'write, logout, refresh; any fault', attempts: 1, faults: 1 },
  { ...session, name: 'write; any fault; there and back', without: LOGOUT | REFRESH, faults: 1 },
  { ...session, name: 'write; any two faults', without: LOGOUT | REFRESH, attempts: 1, faults: 2 },
  {
    ...session,
    name: 'any two faults; there and back',
    without: WRITE | LOGOUT | REFRESH,
    faults: 2,
  },
  { ...SIGNUP_SCENARIO, name: 'one address; there and back' },
  { ...SIGNUP_SCENARIO, name: 'one address; a crash', attempts: 1, faults: 1, kinds: ['crash'] },
  {
    ...SIGNUP_SCENARIO,
    name: 'one address; a crash; there and back',
    faults: 1,
    kinds: ['crash'],
    restarts: true,
    workersOverlap: true,
  },
  { ...HANDOVER_SCENARIO, attempts: 1 },
  { ...KEEP_SCENARIO, attempts: 1, faults: 1, kinds: ['crash'] },
];

/** Step by step, without reductions: what these pass over as covered is taken here. */
export const UNREDUCED: Scenario = {
  ...SESSION_SCENARIO,
  name: 'two coordinators in each other’s way, without reductions',
  without: WRITE | LOGOUT | REFRESH,
};

const whole = { attempts: 2, faults: 2, restarts: true, workersOverlap: true } as const;

const everything = (scenario: Scenario): Scenario => ({
  ...scenario,
  ...whole,
  name: `${scenario.name}; everything`,
});

/** Everything at once; the smaller ones first, so that what they would find is found early. */
export const FULL: readonly Scenario[] = [
  ...[HANDOVER_SCENARIO, SIGNUP_SCENARIO, KEEP_SCENARIO].map(everything),
  {
    ...session,
    name: 'write; free clocks, leases of two ticks',
    attempts: 1,
    faults: 1,
    pauses: 'free',
    leaseTicks: 2,
    without: LOGOUT | REFRESH,
  },
  everything(SESSION_SCENARIO),
];
