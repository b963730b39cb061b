import { StoreUnavailable } from '../errors.ts';

/** Runs tasks of one key one after the other, within this process. Takes load off compare-and-set, never its place. */
export type Serial = <T>(key: string, task: () => Promise<T>) => Promise<T>;

type Reason = StoreUnavailable['reason'];

/** What a task says of a store that does not answer, which those behind it need not find out one after another. */
function silenceIn(error: unknown): Reason | null {
  const reason = error instanceof StoreUnavailable ? error.reason : null;
  return reason === 'timeout' || reason === 'connect' ? reason : null;
}

/** Who has waited for `waitMaxMs`, or behind a task that the store did not answer, is refused without having begun. */
export function createSerial(waitMaxMs: number): Serial {
  /** Of each key, what its last task found the store to be silent for. */
  const last = new Map<string, Promise<Reason | null>>();

  /** Resolves when its turn comes. */
  function turn(before: Promise<Reason | null>): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (reason: Reason) => reject(new StoreUnavailable('mongo', 'none', reason));
      const timer = setTimeout(refuse, waitMaxMs, 'contention');
      void before.then((silence) => {
        clearTimeout(timer);
        if (silence === null) resolve();
        else refuse(silence);
      });
    });
  }

  return (key, task) => {
    const before = last.get(key);
    const mine = before === undefined ? task() : turn(before).then(task);
    // Who gave up still keeps those behind it in their order.
    const settled = Promise.allSettled([mine, before]).then(([result]) => {
      if (last.get(key) === settled) last.delete(key);
      return result.status === 'rejected' ? silenceIn(result.reason) : null;
    });
    last.set(key, settled);
    return mine;
  };
}
