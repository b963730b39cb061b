/**
 * PostgreSQL, the mirror, goes back by a moment, under the same control record: a standby that lagged takes its place. Once in a
 * run, while an operator is about to move authority to it.
 */
import type { MemoryStore } from '../../support/memory/store.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface GoingBack {
  /** As PostgreSQL would say it. */
  history(): string;
  isGone(): boolean;
  onStep(step: string): void;
}

/** How often an image is taken, and how far it goes back at most, ms. */
const IMAGE_EVERY_MS = 10;
const BACK_MAX_MS = 400;
/** Clients have written by then. */
const BEGUN_MS = 250;
const STEPS = ['settle', 'gates', 'canary', 'wait-silent'];

export function createGoingBack(options: {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly store: MemoryStore;
  /** Whether it is the mirror, and no change of authority has been announced. */
  readonly mayGo: () => boolean;
  readonly onGone: (what: string) => void;
}): GoingBack {
  const { scheduler, random, store, mayGo, onGone } = options;
  const at = random.pick(STEPS);
  const backMs = random.between(50, BACK_MAX_MS);
  const images: { readonly atMs: number; readonly putBack: () => void }[] = [];
  let state: 'waiting' | 'due' | 'gone' = 'waiting';

  function keep(): void {
    if (state === 'gone') return;
    images.push({ atMs: scheduler.now(), putBack: store.image() });
    if (images.length > BACK_MAX_MS / IMAGE_EVERY_MS) images.shift();
    scheduler.after(IMAGE_EVERY_MS, keep);
  }
  keep();

  function go(): void {
    const image = images.find(({ atMs }) => atMs >= scheduler.now() - backMs);
    if (!mayGo() || image === undefined) {
      state = 'waiting';
      return;
    }
    state = 'gone';
    image.putBack();
    onGone('postgres goes back');
  }

  return {
    history: () => (state === 'gone' ? 'sim/2' : 'sim/1'),
    isGone: () => state === 'gone',
    onStep(step) {
      if (step !== at || state !== 'waiting' || scheduler.now() < BEGUN_MS) return;
      state = 'due';
      scheduler.after(random.between(0, 20), go);
    },
  };
}
