/**
 * Whether the mirror's store has been restored from a snapshot, with no word of an operator yet: then nothing is written to
 * it. Its fence refuses every apply by itself; repairs and retention ask here.
 */
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import { RestoredStore, readControl } from '../control.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Pass } from './pass.ts';

export interface Restored {
  /** Why the mirror stands; null: it does not. */
  reason(): string | null;
  /** The fence was met. */
  note(store: StoreName): void;
  /** Looks for the fence. Throws `StoreUnavailable`. */
  look(pass: Pass): Promise<void>;
  /** Another store is the mirror, or none. */
  reset(): void;
}

export function createRestored(telemetry: Telemetry, onGone: () => void): Restored {
  let reason: string | null = null;

  function note(store: StoreName): void {
    const { message } = new RestoredStore(store);
    if (reason === null) telemetry.error({ store }, `mirror: ${message}: nothing is written to it`);
    reason = message;
  }

  return {
    reason: () => reason,
    note,
    async look(pass) {
      try {
        await pass.callMirror(() => readControl(pass.mirror));
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        if (error instanceof RestoredStore) return note(pass.mirror.name);
        // A record that cannot be read stops no mirror.
      }
      if (reason === null) return;
      reason = null;
      onGone();
    },
    reset() {
      reason = null;
    },
  };
}
