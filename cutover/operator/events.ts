/** The append-only log, in the authority's books. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Json } from '../../db/replica.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { attempt, type Standing } from './situation.ts';
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

const ENTRIES_MAX = 1_000;

/**
 * Adds the entry that nobody could add when the mode was entered: its coordinator had died, and an instance finished the
 * change. Later than it was, so a soak counts less, never more.
 */
export async function noteEntered(context: OperatorContext, { authority, record }: Standing): Promise<void> {
  const entries = await attempt(() => authority.books.readLog({ limit: ENTRIES_MAX, newestFirst: true }));
  if (entries === null || entries.some(({ body }) => isEntry(body, record))) return;
  await logEvent(context, authority, 'moved', record, { to: record.mode, notedLate: true });
}

function isEntry(body: Json, { mode, epoch }: ControlRecord): boolean {
  if (typeof body !== 'object' || body === null || !('kind' in body)) return false;
  const entered = ['moved', 'created', 'failover'].some((kind) => kind === body['kind']);
  return entered && body['mode'] === mode && body['epoch'] === epoch;
}
