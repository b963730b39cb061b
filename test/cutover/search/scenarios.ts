/**
 * What is in flight while authority moves. Operation j shows as bit j wherever it was committed; a second write of the
 * same operation as bit j + 3.
 */
import type { Scenario } from './model.ts';

const SHARED = {
  keyOf: () => null,
  without: 0,
  start: null,
  attempts: 2,
  faults: 0,
  leaseTicks: 1,
  suspends: false,
  workersOverlap: false,
  pauses: 'paid',
  restarts: false,
  kinds: ['crash', 'pause', 'message', 'store', 'coordinator'],
} as const;
const USER = 0;
const SESSION = 1;

/** A write of the user that ends its sessions, a logout and a refresh of one session. */
export const SESSION_SCENARIO: Scenario = {
  ...SHARED,
  name: 'write, logout, refresh',
  records: [0, 0],
  operations: [
    { name: 'write', on: 0, heeds: 0, writes: [{ record: USER, decide: ([user]) => (user ?? 0) | 1 }] },
    {
      name: 'logout',
      on: 1,
      heeds: 0,
      // Repeatable: found done, it is answered as done.
      writes: [
        {
          record: SESSION,
          decide: (seen) => ((seen[SESSION] ?? 0) & 2 ? 'already' : (seen[SESSION] ?? 0) | 2),
        },
      ],
    },
    {
      name: 'refresh',
      on: 0,
      heeds: 1 | 2,
      writes: [
        {
          record: SESSION,
          readsOthers: true,
          decide: (seen) =>
            (seen[SESSION] ?? 0) & 2 || (seen[USER] ?? 0) & 1 ? 'refused' : (seen[SESSION] ?? 0) | 4,
        },
      ],
    },
  ],
  violated: (acked, _authority, after) =>
    (acked & 4) !== 0 && after(2) !== 0 ? 'a session was used after its end had been answered' : null,
};

/** A password change that keeps its own session (two writes), against the end of all sessions. */
export const KEEP_SCENARIO: Scenario = {
  ...SHARED,
  name: 'password change, end of all sessions',
  records: [0, 0],
  operations: [
    {
      name: 'password change',
      on: 0,
      heeds: 0,
      writes: [
        { record: USER, decide: ([user]) => ((user ?? 0) & 2 ? 'refused' : (user ?? 0) | 1) },
        { record: SESSION, decide: (seen) => (seen[SESSION] ?? 0) | 8 },
      ],
    },
    {
      name: 'end sessions',
      on: 1,
      heeds: 0,
      writes: [{ record: USER, decide: ([user]) => (user ?? 0) | 2 }],
    },
  ],
  violated: (acked, authority) => {
    const generation = 1 + ((authority[USER] ?? 0) & 1) + (((authority[USER] ?? 0) >> 1) & 1);
    const kept = (authority[SESSION] ?? 0) & 8 ? 2 : 1;
    return (acked & 2) !== 0 && authority.length > 0 && generation === kept
      ? 'a session lives after the end of all sessions had been answered'
      : null;
  },
};

/** Two signups with one address: either may be the orphan that holds it when the other arrives. */
export const SIGNUP_SCENARIO: Scenario = {
  ...SHARED,
  name: 'two signups, one address',
  records: [null, null],
  operations: [
    { name: 'signup A', on: 0, heeds: 0, writes: [{ record: 0, decide: () => 1 }] },
    { name: 'signup B', on: 1, heeds: 0, writes: [{ record: 1, decide: () => 2 }] },
  ],
  keyOf: () => 'address',
  violated: (acked) => ((acked & 3) === 3 ? 'two accounts hold one address' : null),
};

/** A gives its address up, B takes it. */
export const HANDOVER_SCENARIO: Scenario = {
  ...SHARED,
  name: 'erased, then taken by another',
  records: [0, null],
  operations: [
    { name: 'erase A', on: 0, heeds: 0, writes: [{ record: 0, decide: ([a]) => (a ?? 0) | 1 }] },
    { name: 'signup B', on: 1, heeds: 0, writes: [{ record: 1, decide: () => 2 }] },
  ],
  keyOf: (record, bits) => (record === 0 && bits & 1 ? null : 'address'),
  violated: () => null,
};
