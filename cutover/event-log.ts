/** The append-only log, in the authority's books. */
import { StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import type { Json } from '../db/replica.ts';
import type { Environment } from './environment.ts';
import type { Mode } from './mode.ts';
import type { ControlRecord } from './protocol/types.ts';
import type { Telemetry } from './telemetry.ts';

/** What it takes to add to the log. */
export interface LogContext {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
}

const ATTEMPTS_MAX = 5;
const RETRY_MS = 200;

/** What the event log keeps; each entry's body. */
export interface Event {
  readonly kind:
    | 'created'
    | 'moved'
    | 'refused'
    | 'forced'
    | 'aborted'
    | 'set'
    | 'failover'
    | 'canary'
    | 'sessions-ended'
    | 'user-erased'
    | 'copy'
    | 'snapshot';
  readonly mode: Mode;
  readonly epoch: number;
  readonly revision: number;
  /** Whatever else belongs to it: from, to, reason, gates, durations, key, value. Never a record's value. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

/**
 * Adds an entry. What it tells of has happened, so a store that does not take it fails nothing: it is tried a few
 * times, then said.
 */
export async function logEvent(
  { environment, telemetry }: LogContext,
  store: Store,
  kind: Event['kind'],
  record: Pick<ControlRecord, 'mode' | 'epoch' | 'revision'>,
  details: Event['details'],
): Promise<void> {
  const { mode, epoch, revision } = record;
  const body: Event = { kind, mode, epoch, revision, details };
  const entry = { at: environment.date(), id: environment.newId(), body: { ...body } satisfies Json };
  for (let left = ATTEMPTS_MAX; left > 0; left -= 1) {
    try {
      return await store.books.log(entry);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      await environment.sleep(RETRY_MS);
    }
  }
  telemetry.error({ event: kind, mode, epoch, revision }, 'an entry could not be added to the event log');
}
