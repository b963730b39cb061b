/** Counts of comparisons on their way into the authority's books: see `window.ts` for what is kept there. */
import type { Books } from '../../db/replica.ts';
import type { Environment } from '../environment.ts';
import { NOTES } from '../notes.ts';
import { noOutcomes, type Outcome } from './outcomes.ts';
import { BUCKET_MS, bucketStart, readWindow, type Subject, windowKey } from './window.ts';

const KEPT_MS = 48 * 3_600_000;
/** Notes deleted in one go. */
const CLEANUP_MAX = 500;

interface Tally {
  readonly subject: Subject;
  readonly startMs: number;
  readonly key: string;
  readonly outcomes: Record<Outcome, number>;
  dirty: boolean;
}

export interface Evidence {
  count(outcome: Outcome, subject: Subject): void;
  /** Puts every bucket that has grown, again with its totals. What fails stays due. */
  flush(books: Books, epoch: number): Promise<void>;
  /** Deletes old buckets, whoever put them; once for each bucket of time. */
  cleanUp(books: Books, windowMs: number): Promise<void>;
}

export function createEvidence(environment: Environment, instance: string): Evidence {
  let tallies: Tally[] = [];
  let cleanedMs = Number.NEGATIVE_INFINITY;

  function tallyOf(subject: Subject): Tally {
    const startMs = bucketStart(environment.date().getTime());
    const last = tallies.at(-1);
    if (last !== undefined && isOf(last, startMs, subject)) return last;
    const known = tallies.find((tally) => isOf(tally, startMs, subject));
    if (known !== undefined) return known;
    const nth = tallies.filter((tally) => tally.startMs === startMs).length + 1;
    const { epoch, mode, run } = subject;
    const tally: Tally = {
      subject: { epoch, mode, run },
      startMs,
      key: windowKey(startMs, instance, nth),
      outcomes: noOutcomes(),
      dirty: false,
    };
    tallies.push(tally);
    return tally;
  }

  /** What nothing is added to any more and the books hold, or what they need not hold. */
  function isOver(tally: Tally, epoch: number): boolean {
    const ageMs = environment.date().getTime() - tally.startMs;
    const elsewhere = tally.subject.epoch < epoch;
    return ageMs > BUCKET_MS && (elsewhere || !tally.dirty || ageMs > KEPT_MS);
  }

  return {
    count(outcome, subject) {
      const tally = tallyOf(subject);
      tally.outcomes[outcome] += 1;
      tally.dirty = true;
    },
    async flush(books, epoch) {
      tallies = tallies.filter((tally) => !isOver(tally, epoch));
      for (const tally of [...tallies]) {
        if (!tally.dirty || tally.subject.epoch !== epoch) continue;
        tally.dirty = false;
        try {
          const body = { ...tally.subject, startMs: tally.startMs, outcomes: nonZero(tally.outcomes) };
          await books.putNote(NOTES.shadowWindow, tally.key, body, environment.date());
        } catch (error) {
          tally.dirty = true;
          throw error;
        }
      }
    },
    async cleanUp(books, windowMs) {
      const nowMs = environment.date().getTime();
      if (bucketStart(nowMs) <= cleanedMs) return;
      const before = nowMs - Math.max(KEPT_MS, windowMs + BUCKET_MS);
      for (const note of await books.notes(NOTES.shadowWindow, { limit: CLEANUP_MAX })) {
        const startMs = readWindow(note)?.startMs ?? note.lastAt.getTime();
        if (startMs + BUCKET_MS <= before) await books.deleteNote(NOTES.shadowWindow, note.key);
      }
      cleanedMs = bucketStart(nowMs);
    },
  };
}

function isOf(tally: Tally, startMs: number, { epoch, mode, run }: Subject): boolean {
  const { subject } = tally;
  return tally.startMs === startMs && subject.epoch === epoch && subject.mode === mode && subject.run === run;
}

function nonZero(outcomes: Readonly<Record<Outcome, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(outcomes).filter(([, count]) => count > 0));
}
