/**
 * Whether the store that is not the authority has been restored from a snapshot, with no word of an operator yet: then this
 * instance writes nothing to it. Its fence refuses every apply by itself; whoever else would write there asks here.
 */
import { type StoreName, StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import { RestoredStore, readControl } from './control.ts';
import type { Telemetry } from './telemetry.ts';

export interface Restored {
  /** Why nothing is written to it, as was last seen; null: it is. */
  reason(): string | null;
  /** The fence was met. */
  note(store: StoreName): void;
  /** Looks for the fence: whether it is there. Throws `StoreUnavailable`. */
  look(store: Store): Promise<boolean>;
  /** Another store is the mirror, or none. */
  reset(): void;
  onGone(listener: () => void): void;
}

export function createRestored(telemetry: Telemetry): Restored {
  const listeners: (() => void)[] = [];
  let reason: string | null = null;

  function note(store: StoreName): void {
    const { message } = new RestoredStore(store);
    if (reason === null) telemetry.error({ store }, `mirror: ${message}: nothing is written to it`);
    reason = message;
  }

  return {
    reason: () => reason,
    note,
    async look(store) {
      try {
        await readControl(store);
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        if (error instanceof RestoredStore) {
          note(store.name);
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
