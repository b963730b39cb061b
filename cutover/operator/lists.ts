/** What an operator can look at: marks, notes, the log. Only reads. */
import type { Store } from '../../db/port.ts';
import type { Json } from '../../db/replica.ts';
import { MODES } from '../mode.ts';
import { attempt, readStanding } from './situation.ts';
import type { Event, LogLine, NoteLine, OperatorContext, PendingList, PendingResult } from './types.ts';
import { NOTES } from './types.ts';

interface Limited {
  /** Rows at most. */
  readonly limit: number;
}

/** Records marked in the authority, the longest first, and orphans in the other store. */
export async function pending(context: OperatorContext, { limit }: Limited): Promise<PendingResult> {
  const { authority, other } = await readStanding(context);
  const nowMs = context.environment.date().getTime();
  return {
    authority: await listMarks(authority, limit, nowMs),
    orphans: other === null ? null : await attempt(() => listMarks(other, limit, nowMs)),
  };
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
export async function foreign(context: OperatorContext, { limit }: Limited): Promise<readonly NoteLine[]> {
  const { authority, other } = await readStanding(context);
  const notes = [...(await authority.books.notes(NOTES.foreign, { limit }))];
  if (other !== null) {
    notes.push(...((await attempt(() => other.books.notes(NOTES.foreign, { limit }))) ?? []));
  }
  return notes.sort((a, b) => a.firstAt.getTime() - b.firstAt.getTime()).slice(0, limit);
}

/** The event log, the newest first. It stays in the store that had authority at the time, so both are read. */
export async function log(context: OperatorContext, { limit }: Limited): Promise<readonly LogLine[]> {
  const { authority, other } = await readStanding(context);
  const first = await authority.books.readLog({ limit, newestFirst: true });
  const second =
    other === null ? [] : ((await attempt(() => other.books.readLog({ limit, newestFirst: true }))) ?? []);
  const entries = new Map([...first, ...second].map((entry) => [entry.id, entry]));
  return [...entries.values()]
    .sort((a, b) => b.at.getTime() - a.at.getTime() || (a.id < b.id ? 1 : -1))
    .slice(0, limit)
    .flatMap(({ at, id, body }) => (isEvent(body) ? [{ at, id, event: body as unknown as Event }] : []));
}

function isEvent(body: Json): boolean {
  if (typeof body !== 'object' || body === null || !('kind' in body)) return false;
  return MODES.some((mode) => mode === body['mode']) && typeof body['details'] === 'object';
}
