/** Operations of several writes: without transactions, each further one is asked for, and a failure then leaves traces. */
import { StoreUnavailable } from '../errors.ts';
import type { WriteContext } from '../port.ts';

export interface Steps {
  /** To be called just before each write. Throws when something was written and nothing more may be. */
  before(): void;
  /** To be called once a write has been answered, and did change something. */
  after(): void;
}

interface Scoped {
  readonly context: WriteContext;
  readonly steps?: Steps;
}

/** Runs an operation of several writes; once one of them is there, no failure says that nothing was done. */
export async function inSteps<S extends Scoped, T>(scope: S, run: (scope: S) => Promise<T>): Promise<T> {
  const { mayContinue } = scope.context;
  let hasWritten = false;
  const steps: Steps = {
    before() {
      if (hasWritten && mayContinue?.() === false)
        throw new StoreUnavailable('mongo', 'unknown', 'lease-lost');
    },
    after() {
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
