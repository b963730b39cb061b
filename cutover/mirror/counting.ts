/**
 * How many marks the authority holds, for those who watch: what a sweep has seen of all, or a count of its own. And how
 * many foreign writes are noted and not settled, by whomever they were found.
 */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';
import { NOTES } from '../notes.ts';

/** Counting more than this takes a while, and is done every so often only. */
const MANY = 10_000;
const MANY_EVERY_MS = 10_000;
const FEW_EVERY_MS = 500;
/** Somebody is paged by it: seconds do not matter. */
const NOTES_EVERY_MS = 5_000;

/** What the gates ask for none of, and differences. */
const OPEN_NOTES = [NOTES.poison, NOTES.conflict, NOTES.quarantine, NOTES.difference] as const;

export interface Counted {
  /** Marks in the authority at the last count; null: not counted, or the mode has no mirror. */
  readonly pending: number | null;
  readonly oldestAgeMs: number | null;
  /** Notes of foreign writes, in both stores, in the mirror as it last said; null as above. */
  readonly foreign: number | null;
  /** Open notes in the authority, by kind; null as above. */
  readonly notes: Readonly<Record<(typeof OPEN_NOTES)[number], number>> | null;
}

export interface Counting {
  /** These are all there are. */
  note(marks: number, oldest: Date | null): void;
  /** Counts anew if it is time and nobody has told. Null: there is nothing to count. `mirror`: null while it is not asked. */
  count(authority: Store | null, mirror: Store | null): Promise<void>;
  last(): Counted;
  reset(): void;
}

export function createCounting(environment: Pick<Environment, 'now' | 'date'>): Counting {
  let pending: number | null = null;
  let oldestAt: Date | null = null;
  let countedAtMs = Number.NEGATIVE_INFINITY;
  let foreign: number | null = null;
  let foreignInMirror = 0;
  let notes: Counted['notes'] = null;
  let notesAtMs = Number.NEGATIVE_INFINITY;

  function reset(): void {
    forget();
    foreignInMirror = 0;
  }

  function forget(): void {
    pending = null;
    oldestAt = null;
    countedAtMs = Number.NEGATIVE_INFINITY;
    foreign = null;
    notes = null;
    notesAtMs = Number.NEGATIVE_INFINITY;
  }

  function note(marks: number, oldest: Date | null): void {
    pending = marks;
    oldestAt = oldest;
    countedAtMs = environment.now().monotonicMs;
  }

  async function countMarks({ replica }: Store): Promise<void> {
    const everyMs = (pending ?? 0) > MANY ? MANY_EVERY_MS : FEW_EVERY_MS;
    if (environment.now().monotonicMs - countedAtMs < everyMs) return;
    const counted = await replica.countMarks();
    note(counted.count, counted.oldestAt);
  }

  async function countNotes(authority: Store, mirror: Store | null): Promise<void> {
    if (environment.now().monotonicMs - notesAtMs < NOTES_EVERY_MS) return;
    const counts = await authority.books.countNotes();
    // What was found under the authority before. That it cannot be asked now settles none of it.
    const before = await mirror?.books.countNotes().catch(() => null);
    if (before) foreignInMirror = before[NOTES.foreign] ?? 0;
    foreign = (counts[NOTES.foreign] ?? 0) + foreignInMirror;
    notes = Object.fromEntries(OPEN_NOTES.map((kind) => [kind, counts[kind] ?? 0])) as Counted['notes'];
    notesAtMs = environment.now().monotonicMs;
  }

  return {
    reset,
    note,
    async count(authority, mirror) {
      if (authority === null) return reset();
      try {
        await countMarks(authority);
        await countNotes(authority, mirror);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        forget();
      }
    },
    last: () => ({
      pending,
      foreign,
      notes,
      oldestAgeMs: oldestAt === null ? null : Math.max(0, environment.date().getTime() - oldestAt.getTime()),
    }),
  };
}
