/** What the event log tells of the present mode. */
import type { Store } from '../../db/port.ts';
import type { Json, LogEntry } from '../../db/replica.ts';
import { type Event, logEvent } from '../event-log.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { attempt, type Standing } from './situation.ts';
import type { OperatorContext } from './types.ts';

/** The present mode, as the log has it. */
export interface Stay {
  /** When it was entered; null: no entry tells. */
  readonly sinceMs: number | null;
  /** When the last change of authority under its epoch was taken back; null: none since it was entered. */
  readonly abortedAtMs: number | null;
}

/** Reads back to the entry that began the present mode, however many there are since: each refused move adds one. */
export async function readStay(store: Store, { mode, epoch }: ControlRecord): Promise<Stay> {
  let sinceMs: number | null = null;
  let abortedAtMs: number | null = null;
  for await (const { at, body } of backwards(store)) {
    const event = eventOf(body);
    if (event.kind === 'aborted' && event.epoch === epoch) abortedAtMs ??= at.getTime();
    if (!ENTRIES.some((kind) => kind === event.kind)) continue;
    if (event.mode !== mode || event.epoch !== epoch) break;
    sinceMs = at.getTime();
    // One that was noted late, by somebody who saw none, stands only where there is none before it.
    if (!event.notedLate) break;
  }
  return { sinceMs, abortedAtMs };
}

/**
 * Adds the entry that nobody could add when the mode was entered: its coordinator had died, and an instance finished the
 * change. Later than it was, so a soak counts less, never more.
 */
export async function noteEntered(context: OperatorContext, { authority, record }: Standing): Promise<void> {
  const stay = await attempt(() => readStay(authority, record));
  if (stay === null || stay.sinceMs !== null) return;
  await logEvent(context, authority, 'moved', record, { to: record.mode, notedLate: true });
}

/** Entries that begin a mode. */
const ENTRIES = ['moved', 'created', 'failover'] as const satisfies readonly Event['kind'][];
const PAGE = 1_000;

/** The whole log, the newest first. */
async function* backwards({ books }: Store): AsyncGenerator<LogEntry> {
  let page = await books.readLog({ limit: PAGE, newestFirst: true });
  for (;;) {
    yield* page;
    const after = page.at(-1);
    if (after === undefined || page.length < PAGE) return;
    page = await books.readLog({ limit: PAGE, newestFirst: true, after });
  }
}

function eventOf(body: Json): Record<'kind' | 'mode' | 'epoch', Json> & { readonly notedLate: boolean } {
  const fields = typeof body === 'object' && body !== null && !Array.isArray(body) ? body : {};
  const { kind = null, mode = null, epoch = null, details = null } = fields as { [key: string]: Json };
  const notedLate = typeof details === 'object' && details !== null && 'notedLate' in details;
  return { kind, mode, epoch, notedLate };
}
