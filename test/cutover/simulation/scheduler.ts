/**
 * Virtual time. One event at a time; between two of them every promise that can go on has gone on: a tick that is asked
 * for in a microtask comes once all microtasks are done. Nothing here or in what it drives may use a real timer or I/O.
 */

export interface Scheduled {
  cancel(): void;
}

export interface Scheduler {
  /** Virtual time, ms. */
  now(): number;
  after(delayMs: number, run: () => void): Scheduled;
  /** Runs what is due until then; throws what an event throws. */
  runUntil(whenMs: number): Promise<void>;
  /** Events so far. */
  steps(): number;
}

interface Event {
  readonly atMs: number;
  /** Events of the same moment run in the order in which they were scheduled. */
  readonly order: number;
  run: (() => void) | null;
}

const isBefore = (a: Event, b: Event) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** A binary heap. */
function createQueue() {
  const heap: Event[] = [];
  const at = (index: number) => heap[index] as Event;
  const swap = (i: number, j: number) => {
    const event = at(i);
    heap[i] = at(j);
    heap[j] = event;
  };

  return {
    peek: (): Event | undefined => heap[0],
    push(event: Event): void {
      let index = heap.push(event) - 1;
      while (index > 0) {
        const parent = (index - 1) >> 1;
        if (!isBefore(at(index), at(parent))) return;
        swap(index, parent);
        index = parent;
      }
    },
    pop(): void {
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return;
      heap[0] = last;
      for (let index = 0; ; ) {
        const left = 2 * index + 1;
        if (left >= heap.length) return;
        const child = left + 1 < heap.length && isBefore(at(left + 1), at(left)) ? left + 1 : left;
        if (!isBefore(at(child), at(index))) return;
        swap(child, index);
        index = child;
      }
    },
  };
}

export function createScheduler(): Scheduler {
  const queue = createQueue();
  let nowMs = 0;
  let order = 0;
  let steps = 0;

  /** Runs the next event that is due by then; false when there is none. */
  function runNext(untilMs: number): boolean {
    for (;;) {
      const event = queue.peek();
      if (event === undefined || event.atMs > untilMs) return false;
      queue.pop();
      if (event.run === null) continue;
      nowMs = event.atMs;
      steps += 1;
      event.run();
      return true;
    }
  }

  return {
    now: () => nowMs,
    steps: () => steps,
    after(delayMs, run) {
      const event: Event = { atMs: nowMs + Math.max(0, delayMs), order, run };
      order += 1;
      queue.push(event);
      return {
        cancel() {
          event.run = null;
        },
      };
    },
    runUntil: (whenMs) =>
      new Promise((resolve, reject) => {
        const turn = () => {
          try {
            if (runNext(whenMs)) return queueMicrotask(() => process.nextTick(turn));
          } catch (error) {
            return reject(error);
          }
          nowMs = whenMs;
          resolve();
        };
        // Lets the event loop turn, so that who watches over this run is not starved.
        setImmediate(turn);
      }),
  };
}
