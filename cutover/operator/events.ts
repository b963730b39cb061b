/** The append-only log, in the authority's books. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Json } from '../../db/replica.ts';
import type { ControlRecord } from '../protocol/types.ts';
import type { Event, OperatorContext } from './types.ts';

const ATTEMPTS_MAX = 5;
const RETRY_MS = 200;

/**
 * Adds an entry. What it tells of has happened, so a store that does not take it fails nothing: it is tried a few
 * times, then said.
 */
export async function logEvent(
  { environment, telemetry }: OperatorContext,
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
