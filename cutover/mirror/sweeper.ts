/**
 * Looks through the marks, in every instance: what a dead one left is queued here, orphans are resolved, and the
 * pending are counted. Several may find the same mark, which does no harm; they are shuffled to spread the work.
 */
import type { Entity } from '../../db/records.ts';
import type { Mark } from '../../db/replica.ts';
import type { Barred } from '../barred.ts';
import type { Environment } from '../environment.ts';
import type { Asides } from './aside.ts';
import type { Counting } from './counting.ts';
import { tidyNotes } from './notes.ts';
import { resolveOrphans } from './orphans.ts';
import type { Pass } from './pass.ts';
import type { Queue } from './queue.ts';

/** Marks in one page. */
const PAGE = 500;
/** Pages in one sweep: the next one goes on where this ended. */
const PAGES_MAX = 20;
/** A sweep adds no more while so much is queued. */
const QUEUED_MAX = 2_000;
/** Younger marks are left to the instance that made them. */
const YOUNG_MS = 1_000;
/** Every so often the young are swept too: a clock may be wrong. */
const ALL_EVERY = 5;
const ORPHANS_PAGE = 100;
const NOTES_MAX = 10_000;
/** Notes looked through in a sweep, on average, when there are many. */
const NOTES_PACE = 200;
/** Sweeps between two looks for notes, when there were none. */
const NOTES_EVERY = 5;

export interface Sweeper {
  /** Queues what is marked in the authority, resolves what is marked in the mirror, tidies the notes. */
  sweep(pass: Pass, options: { readonly behindFence: boolean }): Promise<void>;
  /** Starts from the beginning again. */
  reset(): void;
  orphans(): number | null;
}

export function createSweeper(options: {
  readonly environment: Environment;
  readonly queue: Queue;
  readonly asides: Asides;
  readonly counting: Counting;
  readonly barred: Barred;
  /** Whether it is being mirrored at this moment. */
  readonly isInFlight: (entity: Entity, id: string) => boolean;
  readonly onQueued: () => void;
}): Sweeper {
  const { environment, queue, asides, counting, barred, isInFlight, onQueued } = options;
  let after: Mark | undefined;
  let orphanAfter: Mark | undefined;
  let orphans: number | null = null;
  let sweeps = 0;
  let restsTidying = 0;

  async function queueMarks({ authority }: Pass, all: boolean): Promise<void> {
    const youngMs = environment.date().getTime() - YOUNG_MS;
    for (let page = 0; page < PAGES_MAX && queue.size() < QUEUED_MAX; page += 1) {
      const marks = await authority.replica.marks({
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      const isAll = after === undefined && marks.length < PAGE;
      if (isAll) counting.note(marks.length, marks[0]?.markedAt ?? null);
      const ripe = all ? marks : marks.filter(({ markedAt }) => markedAt.getTime() <= youngMs);
      const nowMs = environment.now().monotonicMs;
      for (const mark of shuffled(ripe, environment)) {
        const { entity, id } = mark;
        if (queue.has(entity, id) || isInFlight(entity, id) || asides.rests(mark, nowMs)) continue;
        queue.add(entity, id);
      }
      if (queue.size() > 0) onQueued();
      // The oldest come first: behind a young one there are only young ones.
      after = ripe.length < PAGE ? undefined : marks.at(-1);
      if (after === undefined) return;
    }
  }

  async function sweepOrphans(pass: Pass): Promise<void> {
    const query = { limit: ORPHANS_PAGE, ...(orphanAfter === undefined ? {} : { after: orphanAfter }) };
    const marks = await pass.callMirror((replica) => replica.marks(query));
    orphanAfter = marks.length < ORPHANS_PAGE ? undefined : marks.at(-1);
    if (marks.length === 0) {
      if (query.after === undefined) orphans = 0;
      return;
    }
    await resolveOrphans(pass, marks, (entity: Entity, id: string) => {
      queue.add(entity, id);
      onQueued();
    });
    orphans = (await pass.callMirror((replica) => replica.countMarks())).count;
  }

  async function tidy(pass: Pass): Promise<void> {
    restsTidying -= 1;
    if (restsTidying > 0) return;
    const counts = await pass.authority.books.countNotes();
    if ((counts['poison'] ?? 0) + (counts['conflict'] ?? 0) === 0) {
      restsTidying = NOTES_EVERY;
      return;
    }
    restsTidying = Math.ceil((await tidyNotes(pass, NOTES_MAX)) / NOTES_PACE);
  }

  return {
    orphans: () => orphans,
    reset() {
      after = undefined;
      orphanAfter = undefined;
      orphans = null;
      restsTidying = 0;
    },
    async sweep(pass, { behindFence }) {
      sweeps += 1;
      await queueMarks(pass, behindFence || sweeps % ALL_EVERY === 0);
      // Nothing is repaired there, and requests wait.
      if (behindFence) return;
      if (await pass.callMirror(() => barred.look(pass.mirror))) return;
      await sweepOrphans(pass);
      await tidy(pass);
    },
  };
}

function shuffled<T>(items: readonly T[], { random }: Pick<Environment, 'random'>): readonly T[] {
  return items
    .map((item) => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
