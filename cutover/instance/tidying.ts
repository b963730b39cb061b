import type { Store } from '../../db/port.ts';
import { readLeases } from '../control.ts';
import type { Environment } from '../environment.ts';
import { isSilent, type Watch, watchRows } from '../protocol/silence.ts';
import type { Timing } from '../protocol/types.ts';

/** Takes out rows whose instance is long gone, so that nobody waits for them. A living one writes its row again. */
export function createTidying(
  environment: Pick<Environment, 'now'>,
  ownId: string,
): (store: Store, timing: Timing) => Promise<void> {
  let watch: Watch = {};
  return async (store, timing) => {
    const askedMs = environment.now().monotonicMs;
    const rows = await readLeases(store);
    watch = watchRows(watch, rows, environment.now().monotonicMs);
    for (const row of rows) {
      // This process may have stood still since it asked: a row that has gone on has somebody behind it, who would act unseen.
      if (row.instance !== ownId && isSilent(watch, row, askedMs, timing)) {
        await store.books.removeLease(row.instance, row.counter);
      }
    }
  };
}
