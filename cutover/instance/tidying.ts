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
    const rows = await readLeases(store);
    const nowMs = environment.now().monotonicMs;
    watch = watchRows(watch, rows, nowMs);
    for (const row of rows) {
      if (row.instance !== ownId && isSilent(watch, row, nowMs, timing)) {
        await store.books.removeLease(row.instance);
      }
    }
  };
}
