/** What an operator can look at: marks, notes, the log. Only reads. */
import { compareIds } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import type { Json } from '../../db/replica.ts';
import type { Event } from '../event-log.ts';
import { MODES, mirrorOf } from '../mode.ts';
import { NOTES } from '../notes.ts';
import { attempt, readStanding, type Standing } from './situation.ts';
import type {
  Incomplete,
  LogResult,
  NoteLine,
  NotesResult,
  OperatorContext,
  PendingList,
  PendingResult,
} from './types.ts';

interface Limited {
  /** Rows at most. */
  readonly limit: number;
}

/** Records marked in the authority, the longest first, and orphans in the other store. */
export async function pending(context: OperatorContext, { limit }: Limited): Promise<PendingResult> {
  const standing = await readStanding(context);
  const { authority } = standing;
  const nowMs = context.environment.date().getTime();
  const { found, missing } = await askOther(standing, (other) => listMarks(other, limit, nowMs));
  return { authority: await listMarks(authority, limit, nowMs), orphans: found, missing };
}

/**
 * What the other store knows; null when it cannot be asked, which leaves a list incomplete where it is the mirror, configured
 * here or not.
 */
async function askOther<T>(
  { other, record }: Standing,
  ask: (other: Store) => Promise<T>,
): Promise<Incomplete & { readonly found: T | null }> {
  const found = other === null ? null : await attempt(() => ask(other));
  return { found, missing: found === null ? mirrorOf(record.mode) : null };
}

async function listMarks(store: Store, limit: number, nowMs: number): Promise<PendingList> {
  const [{ count, oldestAt }, marks] = await Promise.all([
    store.replica.countMarks(),
    store.replica.marks({ limit }),
  ]);
  const ageMs = (at: Date) => Math.max(0, nowMs - at.getTime());
  return {
    store: store.name,
    count,
    oldestAgeMs: oldestAt === null ? null : ageMs(oldestAt),
    records: marks.map(({ entity, id, stamp, markedAt }) => ({ entity, id, stamp, ageMs: ageMs(markedAt) })),
  };
}

const notesOf =
  (kind: string) =>
  async (context: OperatorContext, { limit }: Limited): Promise<readonly NoteLine[]> => {
    const { authority } = await readStanding(context);
    return authority.books.notes(kind, { limit });
  };

/** Clashes over an e-mail's key, the oldest first. */
export const conflicts = notesOf(NOTES.conflict);
/** Records the mirror refuses, the oldest first. */
export const poisoned = notesOf(NOTES.poison);
/** Mismatches found by comparisons, the oldest first. */
export const differences = notesOf(NOTES.difference);

/** Writes that no instance made, the oldest first: found under either authority. */
export async function foreign(context: OperatorContext, { limit }: Limited): Promise<NotesResult> {
  const standing = await readStanding(context);
  const notesIn = ({ books }: Store) => books.notes(NOTES.foreign, { limit });
  const { found, missing } = await askOther(standing, notesIn);
  const notes = [...(await notesIn(standing.authority)), ...(found ?? [])];
  return {
    notes: notes.sort((a, b) => a.firstAt.getTime() - b.firstAt.getTime()).slice(0, limit),
    missing,
  };
}

/** The event log, the newest first. It stays in the store that had authority at the time, so both are read. */
export async function log(context: OperatorContext, { limit }: Limited): Promise<LogResult> {
  const standing = await readStanding(context);
  const entriesOf = ({ books }: Store) => books.readLog({ limit, newestFirst: true });
  const { found, missing } = await askOther(standing, entriesOf);
  const entries = [...(await entriesOf(standing.authority)), ...(found ?? [])];
  const lines = [...new Map(entries.map((entry) => [entry.id, entry])).values()]
    .sort((a, b) => b.at.getTime() - a.at.getTime() || compareIds(b.id, a.id))
    .slice(0, limit)
    .flatMap(({ at, id, body }) => (isEvent(body) ? [{ at, id, event: body as unknown as Event }] : []));
  return { lines, missing };
}

function isEvent(body: Json): boolean {
  if (typeof body !== 'object' || body === null || !('kind' in body)) return false;
  return MODES.some((mode) => mode === body['mode']) && typeof body['details'] === 'object';
}
