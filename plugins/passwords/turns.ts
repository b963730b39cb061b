/** So many jobs at once; the others wait. Whoever has many of them waits for those of others, not they for theirs. */
export interface Turns {
  /**
   * Does the work in its turn. Jobs of one origin are first come, first served, and origins take turns. Throws `late()`,
   * with nothing begun, when there is no place to wait, when an origin with fewer jobs needs it, and when the turn has
   * not come in time.
   */
  run<T>(work: () => Promise<T>, from: string): Promise<T>;
  /** Jobs that run or wait now. */
  pending(): number;
}

interface Waiter {
  call(): void;
  refuse(): void;
}

/** Turns of `places` jobs at once. A queue of our own: piscina's ends the thread of a job that it gives up. */
export function createTurns(places: number, waitersMax: number, waitMaxMs: number, late: () => Error): Turns {
  /** Those who wait, by origin; the origin whose turn comes next is the first. */
  const lines = new Map<string, Set<Waiter>>();
  let free = places;
  let waiting = 0;

  function leave(from: string, waiter: Waiter): void {
    const line = lines.get(from);
    line?.delete(waiter);
    if (line?.size === 0) lines.delete(from);
    waiting -= 1;
  }

  /** Takes the youngest place of the origin that has the most, unless that would only turn the tables. */
  function makeRoom(from: string): boolean {
    const longest = [...lines.values()].reduce<Set<Waiter>>(
      (most, line) => (line.size > most.size ? line : most),
      new Set(),
    );
    if (longest.size <= (lines.get(from)?.size ?? 0) + 1) return false;
    [...longest].at(-1)?.refuse();
    return true;
  }

  async function begin(from: string): Promise<void> {
    if (free > 0) {
      free -= 1;
      return;
    }
    if (waiting >= waitersMax && !makeRoom(from)) throw late();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => waiter.refuse(), waitMaxMs);
      const end = (settle: () => void) => {
        clearTimeout(timer);
        leave(from, waiter);
        settle();
      };
      const waiter: Waiter = { call: () => end(resolve), refuse: () => end(() => reject(late())) };
      lines.set(from, (lines.get(from) ?? new Set()).add(waiter));
      waiting += 1;
    });
  }

  function end(): void {
    const [next] = lines;
    if (next === undefined) {
      free += 1;
      return;
    }
    const [from, line] = next;
    const [waiter] = line;
    lines.delete(from);
    lines.set(from, line);
    waiter?.call();
  }

  return {
    async run(work, from) {
      await begin(from);
      try {
        return await work();
      } finally {
        end();
      }
    },
    pending: () => places - free + waiting,
  };
}
