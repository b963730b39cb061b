/** How far the search goes: a short form that fits in a minute, and a full one that takes as long as it takes. */
import type { Scenario } from './model.ts';
import { HANDOVER_SCENARIO, KEEP_SCENARIO, SESSION_SCENARIO, SIGNUP_SCENARIO } from './scenarios.ts';

const session = { ...SESSION_SCENARIO, attempts: 1, faults: 1 } as const;
const [WRITE, LOGOUT, REFRESH] = [1, 2, 4] as const;

export const SHORT: readonly Scenario[] = [
  {
    ...session,
    name: 'write, logout, refresh; a lost message or coordinator',
    kinds: ['message', 'coordinator'],
  },
  { ...session, name: 'logout, refresh; a crash', without: WRITE, kinds: ['crash'] },
  { ...session, name: 'logout, refresh; a pause', without: WRITE, kinds: ['pause'] },
  { ...session, name: 'write; a lost store', without: LOGOUT | REFRESH, kinds: ['store'] },
  {
    ...session,
    name: 'two faults of any kind, restarts',
    without: WRITE | LOGOUT | REFRESH,
    faults: 2,
    restarts: true,
  },
  {
    ...session,
    name: 'write; a coordinator lost, its successor',
    without: LOGOUT | REFRESH,
    attempts: 2,
    kinds: ['coordinator'],
  },
  { ...SIGNUP_SCENARIO, name: 'one address; there and back' },
  { ...SIGNUP_SCENARIO, name: 'one address; a crash', attempts: 1, faults: 1, kinds: ['crash'] },
  { ...HANDOVER_SCENARIO, attempts: 1 },
  { ...KEEP_SCENARIO, attempts: 1, faults: 1, kinds: ['crash'] },
];

const whole = { attempts: 2, faults: 2, swift: false, restarts: true, workersOverlap: true } as const;

/** The smaller ones first, so that a limit on states costs the least. */
export const FULL: readonly Scenario[] = [
  ...SHORT.map(
    (scenario): Scenario => ({ ...scenario, name: `${scenario.name}; step by step`, swift: false }),
  ),
  ...SHORT.filter((scenario) => scenario.faults === 1).map(
    (scenario): Scenario => ({ ...scenario, name: `${scenario.name}; twice`, faults: 2, restarts: true }),
  ),
  {
    ...session,
    ...whole,
    name: 'free clocks, leases of two ticks',
    attempts: 1,
    faults: 1,
    pauses: 'free',
    leaseTicks: 2,
    without: LOGOUT | REFRESH,
  },
  ...[HANDOVER_SCENARIO, SIGNUP_SCENARIO, KEEP_SCENARIO, SESSION_SCENARIO].map(
    (scenario): Scenario => ({ ...scenario, ...whole, name: `${scenario.name}; everything` }),
  ),
];
