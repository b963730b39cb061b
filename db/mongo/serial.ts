import { StoreUnavailable } from '../errors.ts';

/** Runs tasks of one key one after the other, within this process. Takes load off compare-and-set, never its place. */
export type Serial = <T>(key: string, task: () => Promise<T>) => Promise<T>;

/** Who has waited for `waitMaxMs` is refused, or the last of many would wait for the time-outs of all before it. */
export function createSerial(waitMaxMs: number): Serial {
  const last = new Map<string, Promise<void>>();

  /** Resolves when its turn comes, and rejects when it does not in time. */
  function turn(before: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const overdue = () => reject(new StoreUnavailable('mongo', 'none', 'contention'));
      const timer = setTimeout(overdue, waitMaxMs);
      void before.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  return (key, task) => {
    const before = last.get(key);
    const mine = before === undefined ? task() : turn(before).then(task);
    // Who gave up still keeps those behind it in their order.
    const settled = Promise.allSettled([before, mine]).then(() => {
      if (last.get(key) === settled) last.delete(key);
    });
    last.set(key, settled);
    return mine;
  };
}
