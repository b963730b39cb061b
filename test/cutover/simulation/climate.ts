/** What a run is like: how much goes wrong in it, and what must then hold besides safety. */
import { CALM, type Weather } from './network.ts';
import type { Random } from './random.ts';

export interface Climate {
  readonly name: 'calm' | 'mirror trouble' | 'wild';
  readonly weather: Weather;
  /** Mean time between two faults of processes, stores and network, ms; null: none. */
  readonly faultEveryMs: number | null;
  /** Only faults of the store that is not the authority, while authority stays where it is. */
  readonly sparesAuthority: boolean;
  /** No request may fail. */
  readonly failsNone: boolean;
  /** How far clocks may be apart, ms, and how differently they may run. */
  readonly clockOffMs: number;
  readonly clockDrift: number;
}

const WILD: Weather = {
  usualMs: 2,
  slow: 0.04,
  slowMs: 40,
  requestLost: 0.003,
  replyLost: 0.006,
  late: 0.003,
  held: 0.02,
  heldMs: 30,
};

export function drawClimate(random: Random): Climate {
  const draw = random.next();
  if (draw < 0.15) {
    return {
      name: 'calm',
      weather: CALM,
      faultEveryMs: null,
      sparesAuthority: true,
      failsNone: true,
      clockOffMs: 20,
      clockDrift: 0.01,
    };
  }
  if (draw < 0.3) {
    return {
      name: 'mirror trouble',
      weather: CALM,
      faultEveryMs: 1_500,
      sparesAuthority: true,
      failsNone: true,
      clockOffMs: 20,
      clockDrift: 0.01,
    };
  }
  return {
    name: 'wild',
    // Every second run has a network that loses nothing, so that other faults meet a system that is busy.
    weather: random.chance(0.5) ? WILD : { ...CALM, held: 0.02, heldMs: 30 },
    faultEveryMs: random.between(400, 2_000),
    sparesAuthority: false,
    failsNone: false,
    clockOffMs: 300,
    clockDrift: 0.03,
  };
}
