/**
 * Whether the store that is not the authority is one that nothing may be written to: it has been restored from a snapshot, with
 * no word of an operator yet, or it is another system's. A restored one has a fence that refuses every apply by itself;
 * whoever would write in another way, or to a store without one, asks here.
 */
import { type StoreName, StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import { OtherSystem, RestoredStore, readControl, type UnreadableControl } from './control.ts';
import { isOneSystem } from './protocol/changes.ts';
import type { ControlRecord } from './protocol/types.ts';
import type { Telemetry } from './telemetry.ts';

export interface Barred {
  /** Why nothing is written to it, as was last seen; null: it is. */
  reason(): string | null;
  /** The fence of a restored store was met. */
  note(store: StoreName): void;
  /** Looks at its control record: whether it is barred. Throws `StoreUnavailable`. */
  look(store: Store): Promise<boolean>;
  /** Another store is the mirror, or none. */
  reset(): void;
  onGone(listener: () => void): void;
}

export interface BarredOptions {
  readonly telemetry: Telemetry;
  /** The record that this process follows. */
  readonly followed: () => ControlRecord | null;
}

export function createBarred({ telemetry, followed }: BarredOptions): Barred {
  const listeners: (() => void)[] = [];
  let reason: string | null = null;

  function bar(store: StoreName, { message }: UnreadableControl): void {
    if (reason !== message) telemetry.error({ store }, `mirror: ${message}: nothing is written to it`);
    reason = message;
  }

  /** Throws `RestoredStore`, `OtherSystem`, and what `readControl` throws. */
  async function inspect(store: Store): Promise<void> {
    const [record, own] = [await readControl(store), followed()];
    if (record !== null && own !== null && !isOneSystem(record, own)) throw new OtherSystem(store.name);
  }

  return {
    reason: () => reason,
    note: (store) => bar(store, new RestoredStore(store)),
    async look(store) {
      try {
        await inspect(store);
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        if (error instanceof RestoredStore || error instanceof OtherSystem) {
          bar(store.name, error);
          return true;
        }
        // A record that cannot be read stops no mirror.
      }
      if (reason === null) return false;
      reason = null;
      for (const listener of listeners) listener();
      return false;
    },
    reset() {
      reason = null;
    },
    onGone: (listener) => void listeners.push(listener),
  };
}
