/** How fast a copy goes: settings are looked at while it runs, and progress is told. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { readControl } from '../control.ts';
import { DEFAULT_SETTINGS, type Settings, settingsOf } from '../settings.ts';
import type { CopyPhase, CopyScope, Report } from './types.ts';

const LOOK_MS = 1_000;
const TELL_MS = 500;
/** A batch is as small as a slow rate asks for. */
const BATCH_MAX = 1_000;
const BATCH_MIN = 10;

export interface Pace {
  /** How many documents to take at once. */
  batchMax(): number;
  /** The operator has paused all copies. */
  paused(): Promise<boolean>;
  /** Resolves when so many more documents may be taken. */
  take(documents: number): Promise<void>;
  /** Begins another phase, or goes on with one. */
  phase(phase: CopyPhase, total: number | null, documents?: number): void;
  /** Waits out a pause; true when the work is to end. */
  wait(): Promise<boolean>;
}

export interface PaceOptions {
  readonly run: string;
  readonly authority: Store;
  readonly rate: number;
  readonly report: Report | undefined;
  readonly signal: AbortSignal | undefined;
}

export function createPace({ environment }: CopyScope, options: PaceOptions): Pace {
  const { run, authority, report, signal } = options;
  let settings: Settings = DEFAULT_SETTINGS;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let toldMs = Number.NEGATIVE_INFINITY;
  let now: CopyPhase = 'waiting';
  let total: number | null = null;
  let documents = 0;
  let startedMs = environment.now().monotonicMs;
  let startedAt = 0;
  /** When the documents taken so far are paid for. */
  let paidMs = startedMs;

  async function look(): Promise<void> {
    const nowMs = environment.now().monotonicMs;
    if (nowMs - lookedMs < LOOK_MS) return;
    lookedMs = nowMs;
    try {
      settings = settingsOf(await readControl(authority));
    } catch (error) {
      // The copy itself will meet the trouble, if there still is any.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  function rate(): number {
    const rates = [options.rate, settings['backfill-rate']].filter((each) => each > 0);
    return rates.length === 0 ? 0 : Math.min(...rates);
  }

  function tell(force: boolean): void {
    const nowMs = environment.now().monotonicMs;
    if (report === undefined || (!force && nowMs - toldMs < TELL_MS)) return;
    toldMs = nowMs;
    const perSecond = ((documents - startedAt) * 1000) / Math.max(nowMs - startedMs, 1);
    const left =
      total === null || perSecond === 0 ? null : (Math.max(total - documents, 0) / perSecond) * 1000;
    report({ run, phase: now, documents, total, perSecond: Math.round(perSecond), leftMs: left });
  }

  return {
    batchMax() {
      const bound = rate();
      return bound === 0 ? BATCH_MAX : Math.min(BATCH_MAX, Math.max(BATCH_MIN, Math.ceil(bound / 4)));
    },
    async paused() {
      await look();
      return settings['backfill-paused'] || signal?.aborted === true;
    },
    async take(count) {
      await look();
      documents += count;
      tell(false);
      const bound = rate();
      if (bound === 0) return;
      const nowMs = environment.now().monotonicMs;
      paidMs = Math.max(paidMs, nowMs - 1_000) + (count * 1000) / bound;
      if (paidMs > nowMs) await environment.sleep(paidMs - nowMs, signal);
    },
    phase(phase, expected, from = 0) {
      now = phase;
      total = expected;
      documents = from;
      startedAt = from;
      startedMs = environment.now().monotonicMs;
      tell(true);
    },
    async wait() {
      for (;;) {
        if (signal?.aborted === true) return true;
        await look();
        if (!settings['backfill-paused']) return false;
        tell(true);
        await environment.sleep(LOOK_MS, signal);
      }
    },
  };
}
