import type { Environment } from '../environment.ts';

/** A wait that can be cut short, also just before it begins. */
export interface Pulse {
  wait(ms: number): Promise<void>;
  wake(): void;
}

export function createPulse(environment: Environment): Pulse {
  let woken = false;
  let waiting: AbortController | null = null;
  return {
    async wait(ms) {
      if (!woken) {
        waiting = new AbortController();
        await environment.sleep(ms, waiting.signal);
        waiting = null;
      }
      woken = false;
    },
    wake() {
      woken = true;
      waiting?.abort('woken');
    },
  };
}
