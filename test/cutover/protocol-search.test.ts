import { describe, expect, it } from 'vitest';
import { FULL, SHORT } from './search/bounds.ts';
import { explore } from './search/explore.ts';
import { describe as told } from './search/run.ts';

/** Every step of the protocol; a search that never takes one has not looked at it. */
const STEPS = [
  ...[
    'announce',
    'note',
    'fence',
    'all stopped or silent',
    'no marks in the loser',
    'no marks in the winner',
  ],
  ...[
    'the winner answers',
    'lose',
    'gain',
    'gain (already)',
    'lose (refused)',
    'fence (refused)',
    'abort',
    'abort (refused)',
  ],
  ...['finish forward', 'watch rows', 'time passes', 'lose the reply to a change'],
  ...[
    'send heartbeat',
    'heartbeat commits',
    'read after heartbeat',
    'heartbeat answered',
    'read control',
    'acknowledge stop',
  ],
  ...[
    'admit',
    'read record',
    'commit',
    'conflict',
    'refuse',
    'refuse stale',
    'key taken',
    'go on',
    'acknowledge',
  ],
  ...['read marks', 'apply', 'clear marks', 'find orphan', 'touch', 'move aside', 'clash: holder first'],
  ...['crash', 'restart', 'pause', 'store lost', 'store returns', 'lose message', 'lose reply'],
];

describe('the flip protocol, searched', () => {
  const full = process.env['FLIP_SEARCH'] === 'full';
  const taken = new Map<string, number>();
  let states = 0;

  it.each([...(full ? FULL : SHORT)])(
    '$name: nothing acknowledged lost, one authority, always a way on',
    (scenario) => {
      const result = explore(scenario, { statesMax: 8_000_000 });
      console.log(told(result));
      states += result.states;
      for (const [step, count] of result.steps) taken.set(step, (taken.get(step) ?? 0) + count);
      expect(result.finding, told(result)).toBeNull();
      if (!full) expect(result.complete).toBe(true);
    },
    3_600_000,
  );

  // Run on its own, this one looks for itself.
  it('takes every step of the protocol', () => {
    if (taken.size === 0)
      for (const scenario of SHORT) for (const step of explore(scenario).steps.keys()) taken.set(step, 1);
    console.log(`${states} states in all`);
    expect(STEPS.filter((step) => !taken.has(step))).toEqual([]);
  }, 3_600_000);
});
