/** Failures of the mirror to answer. No client waits for it, so that without a word nobody would learn of them. */
import type { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';
import { createRate } from '../shadow/rate.ts';
import type { Telemetry } from '../telemetry.ts';

/** As often as other complaints: an outage may last a night. */
const LINES_PER_S = 1 / 30;

export type NoteOutage = (store: Store['name'], error: StoreUnavailable) => void;

/** Counts each, and logs some. */
export function createOutages({
  environment,
  telemetry,
}: {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
}): NoteOutage {
  const lines = createRate(environment);
  return (store, { reason }) => {
    // While PostgreSQL is the mirror, MongoDB has answered as if nothing had happened.
    if (store === 'postgres') {
      telemetry.count('cutover_fallbacks_total', { operation: 'mirror', store, outcome: 'invisible' });
    }
    if (!lines.take(LINES_PER_S)) return;
    telemetry.warn({ store, reason }, 'mirror: the store did not answer; what was written stays marked');
  };
}
