import type { Environment } from '../environment.ts';

export interface Nap {
  sleep(ms: number): Promise<void>;
  /** Ends the present sleep; without one, the next ends at once, so that no call is missed. */
  wake(): void;
}

export function createNap(environment: Pick<Environment, 'sleep'>): Nap {
  let alarm = new AbortController();
  return {
    async sleep(ms) {
      await environment.sleep(ms, alarm.signal);
      alarm = new AbortController();
    },
    // Without a reason each call would make an error with its stack: several times the cost of all else here.
    wake: () => alarm.abort('woken'),
  };
}
