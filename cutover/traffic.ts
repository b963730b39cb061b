/**
 * Which operations of clients are under way in this process. What is done behind their backs (the mirror, comparisons) waits
 * for a lull, for a bounded time: it shares their stores, and what is sent a moment later is in nobody's way.
 */
import type { Environment } from './environment.ts';

export interface Traffic {
  begin(): void;
  end(): void;
  /** Resolves while nothing is under way, and after `maxMs` whatever is. */
  lull(maxMs: number): Promise<void>;
}

/** After the last one has ended: whoever asked for it may be about to begin another. */
const SETTLE_MS = 1;

export function createTraffic(environment: Pick<Environment, 'sleep'>): Traffic {
  const waiting = new Set<AbortController>();
  let underWay = 0;
  let settling = false;

  async function settle(): Promise<void> {
    settling = true;
    await environment.sleep(SETTLE_MS);
    settling = false;
    if (underWay > 0) return;
    for (const each of waiting) each.abort('lull');
    waiting.clear();
  }

  return {
    begin() {
      underWay += 1;
    },
    end() {
      underWay -= 1;
      if (underWay === 0 && waiting.size > 0 && !settling) void settle();
    },
    async lull(maxMs) {
      if (underWay === 0 || maxMs <= 0) return;
      const mine = new AbortController();
      waiting.add(mine);
      await environment.sleep(maxMs, mine.signal);
      waiting.delete(mine);
    },
  };
}

/** Of a process without clients. */
export const NO_TRAFFIC: Pick<Traffic, 'lull'> = { lull: async () => {} };
