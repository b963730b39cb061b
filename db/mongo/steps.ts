/** Without transactions each write of an operation is asked for by itself, and a failure may leave traces of it. */
import { StoreUnavailable } from '../errors.ts';
import type { WriteContext } from '../port.ts';

export interface Steps {
  /** To be called once a write has been answered, and did change something. */
  wrote(): void;
}

interface Scoped {
  readonly context: WriteContext;
  readonly steps?: Steps;
}

/** To be called just before each write: after its last wait, since a process may have slept there. */
export function assertMayWrite({ mayContinue }: WriteContext): void {
  if (mayContinue?.() === false) throw new StoreUnavailable('mongo', 'none', 'lease-lost');
}

/** Runs an operation of several writes; once one of them is there, no failure says that nothing was done. */
export async function inSteps<S extends Scoped, T>(scope: S, run: (scope: S) => Promise<T>): Promise<T> {
  let hasWritten = false;
  const steps: Steps = {
    wrote() {
      hasWritten = true;
    },
  };
  try {
    return await run({ ...scope, steps });
  } catch (error) {
    if (!hasWritten || !(error instanceof StoreUnavailable) || error.outcome === 'unknown') throw error;
    throw new StoreUnavailable(error.store, 'unknown', error.reason, { cause: error });
  }
}
