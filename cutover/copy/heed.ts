/** What the service says of its speed, as one process hears it, whatever that works on one after another. */
import type { Store } from '../../db/port.ts';
import { readLeases } from '../control.ts';
import type { Environment } from '../environment.ts';
import { type Watch, watchRows } from '../protocol/silence.ts';
import { type Settings, timingOf } from '../settings.ts';
import { decideStrain, FREE, isUnheard, type Strain, slowestMs } from './strain.ts';

/** What an instance says is of the last seconds: asked more often, one moment would be answered many times over. */
const HEED_MS = 2_000;

export interface Heed {
  strain(): Strain;
  /** Work begins that is not to be measured with what was before: it is looked at once it has gone on for a while. */
  begin(): void;
  /** So much of it was done. */
  moved(documents: number): void;
  /** Looks, unless it has just looked, or work has just begun. */
  look(authority: Store, settings: Settings): Promise<void>;
  /** Whether all that live have been heard, so that nothing else is still to come out. */
  isHeard(): boolean;
}

export function createHeed(environment: Environment): Heed {
  const monotonicMs = () => environment.now().monotonicMs;
  let strain: Strain = FREE;
  let watch: Watch = {};
  let heard = false;
  let documents = 0;
  let atMs = Number.NEGATIVE_INFINITY;

  return {
    strain: () => strain,
    begin() {
      [documents, atMs] = [0, monotonicMs()];
    },
    moved(count) {
      documents += count;
    },
    async look(authority, settings) {
      if (monotonicMs() - atMs < HEED_MS) return;
      const rows = await readLeases(authority);
      const nowMs = monotonicMs();
      const timing = timingOf(settings);
      watch = watchRows(watch, rows, nowMs);
      heard = !isUnheard(watch, rows, nowMs, timing);
      const p99Ms = slowestMs(watch, rows, nowMs, timing);
      const perSecond = (documents * 1000) / Math.max(nowMs - atMs, 1);
      [documents, atMs] = [0, nowMs];
      strain = decideStrain(strain, { p99Ms, perSecond }, settings);
    },
    isHeard: () => heard,
  };
}
