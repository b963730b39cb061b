/** What a run is like: how much goes wrong in it, and what must then hold besides safety. */
import { CALM, type Weather } from './network.ts';
import type { Random } from './random.ts';
import type { Kind } from './shape.ts';

export interface Climate {
  readonly name: 'calm' | 'mirror trouble' | 'stalling' | 'wild' | 'short' | 'short calm' | 'first';
  readonly weather: Weather;
  /** Mean time between two faults of processes, stores and network, ms; null: none. */
  readonly faultEveryMs: number | null;
  /** How likely something goes wrong at a step of an operator. */
  readonly faultAtStep: number;
  /** Only faults of the store that is not the authority, while authority stays where it is. */
  readonly sparesAuthority: boolean;
  /** Only processes stall and die; stores and network are there all the time, so that authority moves often. */
  readonly sparesStores: boolean;
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

/** Nothing is lost, but a few messages take longer than a whole change of authority. */
const SLUGGISH: Weather = {
  ...CALM,
  slow: 0.04,
  slowMs: 140,
  held: 0.02,
  heldMs: 60,
};

/** For short runs, which have a script. */
function drawShortClimate(random: Random): Climate {
  const calm = random.chance(0.1);
  const weather: Weather = { ...CALM, slow: 0.05, slowMs: 30, held: 0.02, heldMs: 20 };
  return {
    name: calm ? 'short calm' : 'short',
    weather: calm ? CALM : weather,
    faultEveryMs: null,
    faultAtStep: 0,
    sparesAuthority: false,
    sparesStores: false,
    failsNone: calm,
    clockOffMs: calm ? 20 : 300,
    clockDrift: 0.02,
  };
}

/** Nothing goes wrong but with operators. */
const FIRST: Climate = {
  name: 'first',
  weather: CALM,
  faultEveryMs: null,
  faultAtStep: 0,
  sparesAuthority: true,
  sparesStores: true,
  failsNone: true,
  clockOffMs: 20,
  clockDrift: 0.01,
};

export function drawClimate(kind: Kind, random: Random): Climate {
  if (kind === 'first') return FIRST;
  return kind === 'short' ? drawShortClimate(random) : drawLongClimate(random);
}

function drawLongClimate(random: Random): Climate {
  const draw = random.next();
  if (draw < 0.15) {
    return {
      name: 'calm',
      weather: CALM,
      faultEveryMs: null,
      faultAtStep: 0,
      sparesAuthority: true,
      sparesStores: false,
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
      faultAtStep: 0,
      sparesAuthority: true,
      sparesStores: false,
      failsNone: true,
      clockOffMs: 20,
      clockDrift: 0.01,
    };
  }
  if (draw < 0.6) {
    return {
      name: 'stalling',
      weather: { ...SLUGGISH, slow: random.pick([0.04, 0.3]) },
      faultEveryMs: random.between(1_000, 4_000),
      faultAtStep: 0.1,
      sparesAuthority: false,
      sparesStores: true,
      failsNone: false,
      clockOffMs: 300,
      clockDrift: 0.03,
    };
  }
  return {
    name: 'wild',
    // Every second run has a network that loses nothing, so that other faults meet a system that is busy.
    weather: random.chance(0.5) ? WILD : { ...CALM, held: 0.02, heldMs: 30 },
    faultEveryMs: random.between(700, 3_000),
    faultAtStep: 0.04,
    sparesAuthority: false,
    sparesStores: false,
    failsNone: false,
    clockOffMs: 300,
    clockDrift: 0.03,
  };
}
