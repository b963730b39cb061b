import type { FastifyBaseLogger } from 'fastify';
import fp from 'fastify-plugin';
import { StoreUnavailable } from '../db/errors.ts';

declare module 'fastify' {
  interface FastifyInstance {
    background: Background;
  }
}

/** Work that goes on after its reply was sent. */
export interface Background {
  /** Starts the work; a failure is logged under its name, nothing is thrown. */
  run(name: string, work: () => Promise<unknown>): void;
  /**
   * Calls the work again and again, `everyMs` after the last call ended, until closed; long work ends at the signal. What is
   * rare first comes within minutes, or instances that live for less would never do it. A store that stays away is logged once.
   */
  repeat(name: string, everyMs: number, work: (closing: AbortSignal) => Promise<unknown>): void;
  /** Resolves when nothing is left; repeated work stops. */
  close(): Promise<void>;
}

/** After how long repeated work comes first, or after up to twice as much. */
const FIRST_MS = 60_000;

function createBackground(log: FastifyBaseLogger): Background {
  const running = new Set<Promise<void>>();
  const timers = new Set<NodeJS.Timeout>();
  const closing = new AbortController();

  function run(name: string, work: () => Promise<unknown>): Promise<void> {
    const task = work().then(
      () => undefined,
      (error: unknown) => log.error({ err: error, task: name }, 'background work failed'),
    );
    running.add(task);
    return task.finally(() => running.delete(task));
  }

  return {
    run: (name, work) => void run(name, work),
    repeat(name, everyMs, work) {
      let isAway = false;
      const tried = async (): Promise<void> => {
        try {
          await work(closing.signal);
          isAway = false;
        } catch (error) {
          const isKnown = isAway;
          isAway = error instanceof StoreUnavailable;
          if (!isAway || !isKnown) throw error;
        }
      };
      const schedule = (afterMs: number) => {
        if (closing.signal.aborted) return;
        const timer = setTimeout(() => {
          timers.delete(timer);
          void run(name, tried).then(() => schedule(everyMs));
        }, afterMs);
        timers.add(timer.unref());
      };
      // At random, so that instances that start together do not do it together.
      schedule(Math.min(everyMs, FIRST_MS * (1 + Math.random())));
    },
    async close() {
      closing.abort();
      for (const timer of timers) clearTimeout(timer);
      while (running.size > 0) await Promise.all(running);
    },
  };
}

export default fp(
  async (app) => {
    const background = createBackground(app.log);
    app.decorate('background', background);
    app.addHook('onClose', () => background.close());
  },
  { name: 'background' },
);
