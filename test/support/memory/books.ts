import { compareIds } from '../../../db/ids.ts';
import type { Books, ControlEntry, LeaseEntry, LogEntry, Note } from '../../../db/replica.ts';
import type { Operate } from './engine.ts';

/** The control record is handed out, since `apply` looks at it in its own step. */
export interface MemoryBooks extends Books {
  /** As it stands within a step. */
  control(): ControlEntry | null;
  /** How many notes of each kind there are, within a step. */
  noteCounts(): Readonly<Record<string, number>>;
  /** Of all that is kept now, to put it back. */
  image(): () => void;
}

type KindNote = Note & { readonly kind: string };

export function createBooks(operate: Operate): MemoryBooks {
  let control: ControlEntry | null = null;
  const leases = new Map<string, LeaseEntry>();
  const entries = new Map<string, LogEntry>();
  const notes = new Map<string, KindNote>();
  const noteId = (kind: string, key: string): string => JSON.stringify([kind, key]);

  function noteCounts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { kind } of notes.values()) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  }

  return {
    control: () => control,
    noteCounts,

    image() {
      const kept = control;
      const maps = [imageOf(leases), imageOf(entries), imageOf(notes)];
      return () => {
        control = kept;
        for (const putBack of maps) putBack();
      };
    },

    readControl: () => operate('readControl', 'read', () => control),

    createControl: (record) =>
      operate('createControl', 'write', () => {
        if (control !== null) return false;
        control = record;
        return true;
      }),

    replaceControl: ({ epoch, revision }, next) =>
      operate('replaceControl', 'write', () => {
        if (control?.epoch !== epoch || control.revision !== revision) return false;
        control = next;
        return true;
      }),

    writeLease: (row) =>
      operate('writeLease', 'write', () => {
        if ((leases.get(row.instance)?.counter ?? row.counter) > row.counter) return false;
        leases.set(row.instance, row);
        return true;
      }),

    readLeases: () =>
      operate('readLeases', 'read', () =>
        [...leases.values()].sort((a, b) => compareIds(a.instance, b.instance)),
      ),

    removeLease: (instance, counter) =>
      operate('removeLease', 'write', () => {
        if ((counter ?? leases.get(instance)?.counter) === leases.get(instance)?.counter)
          leases.delete(instance);
      }),

    log: (entry) =>
      operate('log', 'write', () => {
        if (!entries.has(entry.id)) entries.set(entry.id, entry);
      }),

    readLog: ({ limit, after, newestFirst = false }) =>
      operate('readLog', 'read', () => {
        const way = newestFirst ? -1 : 1;
        return [...entries.values()]
          .filter((entry) => after === undefined || way * compareEntries(entry, after) > 0)
          .sort((a, b) => way * compareEntries(a, b))
          .slice(0, limit);
      }),

    putNote: (kind, key, body, now) =>
      operate('putNote', 'write', () => {
        const before = notes.get(noteId(kind, key));
        const { firstAt = now, times = 0 } = before ?? {};
        notes.set(noteId(kind, key), { kind, key, body, firstAt, lastAt: now, times: times + 1 });
      }),

    notes: (kind, { limit }) =>
      operate('notes', 'read', () =>
        [...notes.values()]
          .filter((note) => note.kind === kind)
          .sort((a, b) => Number(a.firstAt) - Number(b.firstAt) || (a.key < b.key ? -1 : 1))
          .slice(0, limit)
          .map(({ kind: _, ...note }) => note),
      ),

    deleteNote: (kind, key, timesMax = Number.POSITIVE_INFINITY) =>
      operate('deleteNote', 'write', () => {
        const id = noteId(kind, key);
        return (notes.get(id)?.times ?? 0) <= timesMax && notes.delete(id);
      }),

    countNotes: () => operate('countNotes', 'read', noteCounts),
  };
}

/** What is in it is replaced, and never changed. */
export function imageOf<K, V>(map: Map<K, V>): () => void {
  const kept = [...map];
  return () => {
    map.clear();
    for (const [key, value] of kept) map.set(key, value);
  };
}

function compareEntries(a: Pick<LogEntry, 'at' | 'id'>, b: Pick<LogEntry, 'at' | 'id'>): number {
  return a.at.getTime() - b.at.getTime() || compareIds(a.id, b.id);
}
