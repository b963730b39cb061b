/** How each store answered when this instance last asked it for its record. */
import type { StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { asUnreadable, isSilence, missingControl, readControl, UnreadableControl } from '../control.ts';
import type { ControlRecord } from '../protocol/types.ts';

export interface Sight {
  /** As `readControl`, and remembers how that went. */
  look(store: Store): Promise<ControlRecord | null>;
  /** Its record has been read by another way. */
  saw(name: StoreName): void;
  /** It told one that cannot be followed. */
  refused(name: StoreName, error: UnreadableControl): void;
  /** The stores that told their record, whether or not there is one, or one that can be read. */
  reached(): readonly StoreName[];
  /** Why it did not tell a record although it answered; null: it did, was silent, or was never asked. */
  problem(name: StoreName): string | null;
}

interface Seen {
  readonly answers: boolean;
  readonly problem: string | null;
}

export function createSight(): Sight {
  const seen = new Map<StoreName, Seen>();

  function failed(name: StoreName, error: unknown): Seen {
    if (isSilence(error)) return { answers: false, problem: null };
    // What does not let its user read the record could not be served from either.
    const answers = error instanceof UnreadableControl;
    return { answers, problem: asUnreadable(error, name).message };
  }

  return {
    async look(store) {
      const { name } = store;
      try {
        const record = await readControl(store);
        seen.set(name, { answers: true, problem: record === null ? missingControl(name).message : null });
        return record;
      } catch (error) {
        seen.set(name, failed(name, error));
        throw error;
      }
    },
    saw: (name) => void seen.set(name, { answers: true, problem: null }),
    // No client could be answered from there.
    refused: (name, { message }) => void seen.set(name, { answers: false, problem: message }),
    reached: () => [...seen].flatMap(([name, { answers }]) => (answers ? [name] : [])).sort(),
    problem: (name) => seen.get(name)?.problem ?? null,
  };
}
