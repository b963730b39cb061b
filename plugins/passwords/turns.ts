/** So many jobs at once; the others wait, first come first served. */
export interface Turns {
  /** Does the work in its turn. Throws `late()`, with nothing begun, when that has not come in time. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/** Turns of `places` jobs at once. A queue of our own: piscina's ends the thread of a job that it gives up. */
export function createTurns(places: number, waitMaxMs: number, late: () => Error): Turns {
  const waiting = new Set<() => void>();
  let free = places;

  async function begin(): Promise<void> {
    if (free > 0) {
      free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(called);
        reject(late());
      }, waitMaxMs);
      const called = () => {
        clearTimeout(timer);
        resolve();
      };
      waiting.add(called);
    });
  }

  function end(): void {
    const [next] = waiting;
    if (next === undefined) free += 1;
    else {
      waiting.delete(next);
      next();
    }
  }

  return {
    async run(work) {
      await begin();
      try {
        return await work();
      } finally {
        end();
      }
    },
  };
}
