/** How fast a copy goes: settings and the service are looked at while it runs, and progress is told. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { readControl, readLeases } from '../control.ts';
import { type Watch, watchRows } from '../protocol/silence.ts';
import { DEFAULT_SETTINGS, type Settings, settingsOf, timingOf } from '../settings.ts';
import { decideStrain, FREE, type Strain, slowestMs } from './strain.ts';
import { type CopyPhase, CopyRefused, type CopyScope, type Report } from './types.ts';

const LOOK_MS = 1_000;
/** What an instance says is of the last seconds: asked more often, one moment would be answered many times over. */
const HEED_MS = 2_000;
const TELL_MS = 500;
/** Not every server knows at once how much there is; who is done before need not know. */
const COUNT_MS = 3_000;
/** A batch is as small as a slow rate asks for. */
const BATCH_MAX = 1_000;
const BATCH_MIN = 10;

export interface Pace {
  /** How many documents to take at once. */
  batchMax(): number;
  /** All copies are paused, or this one is to end. */
  paused(): Promise<boolean>;
  /** Resolves when so many more documents may be taken. */
  take(documents: number): Promise<void>;
  /** Begins another phase, or goes on with one. What must be counted is counted only once the phase has taken a while. */
  phase(phase: CopyPhase, total: number | null | (() => Promise<number>), documents?: number): void;
  /** Waits out a pause; true when the work is to end. */
  wait(): Promise<boolean>;
  /** Why it is to end, and how to go on. */
  stopped(advice: string): CopyRefused;
}

export interface PaceOptions {
  readonly run: string;
  readonly authority: Store;
  readonly rate: number;
  readonly report: Report | undefined;
  readonly signal: AbortSignal | undefined;
  /** False: what it does is worth more than the service's speed. Default true. */
  readonly heedsService?: boolean;
}

export function createPace({ environment }: CopyScope, options: PaceOptions): Pace {
  const { run, authority, report, signal, heedsService = true } = options;
  const monotonicMs = () => environment.now().monotonicMs;
  let settings: Settings = DEFAULT_SETTINGS;
  let lookedMs = Number.NEGATIVE_INFINITY;
  let toldMs = Number.NEGATIVE_INFINITY;
  let now: CopyPhase = 'waiting';
  let total: number | null = null;
  let toCount: (() => Promise<number>) | null = null;
  let documents = 0;
  let startedMs = monotonicMs();
  let startedAt = 0;
  /** Documents taken and not paid for yet, as of then; negative: saved up. */
  let debt = { documents: 0, atMs: startedMs };
  let strain: Strain = FREE;
  let watch: Watch = {};
  let heeded = { documents: 0, atMs: startedMs };

  async function look(): Promise<void> {
    const nowMs = monotonicMs();
    if (nowMs - lookedMs < LOOK_MS) return;
    lookedMs = nowMs;
    if (nowMs - startedMs >= COUNT_MS) count();
    try {
      settings = settingsOf(await readControl(authority));
      if (heedsService && nowMs - heeded.atMs >= HEED_MS) await heed();
    } catch (error) {
      // The copy itself will meet the trouble, if there still is any.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /** Beside the work. A failure leaves the total unknown. */
  function count(): void {
    const of = now;
    toCount?.().then(
      (all) => {
        if (now === of) total = Math.max(all, documents);
      },
      () => {},
    );
    toCount = null;
  }

  async function heed(): Promise<void> {
    const rows = await readLeases(authority);
    const nowMs = monotonicMs();
    watch = watchRows(watch, rows, nowMs);
    const p99Ms = slowestMs(watch, rows, nowMs, timingOf(settings));
    const perSecond = ((documents - heeded.documents) * 1000) / Math.max(nowMs - heeded.atMs, 1);
    heeded = { documents, atMs: nowMs };
    const was = strain.kind;
    if (was !== 'over') strain = decideStrain(strain, { p99Ms, perSecond }, settings);
    if (strain.kind !== was) tell(true);
  }

  const isEnded = (): boolean => signal?.aborted === true || strain.kind === 'over';

  /** Documents each second; 0: no bound. */
  function rate(): number {
    const slowed = strain.kind === 'slowed' ? strain.rate : 0;
    const rates = [options.rate, settings['backfill-rate'], slowed].filter((each) => each > 0);
    return rates.length === 0 ? 0 : Math.min(...rates);
  }

  function tell(force: boolean): void {
    const nowMs = monotonicMs();
    if (report === undefined || (!force && nowMs - toldMs < TELL_MS)) return;
    toldMs = nowMs;
    const perSecond = ((documents - startedAt) * 1000) / Math.max(nowMs - startedMs, 1);
    const left =
      total === null || perSecond === 0 ? null : (Math.max(total - documents, 0) / perSecond) * 1000;
    const held = settings['backfill-paused'] ? ({ reason: 'paused' } as const) : heldBy(strain);
    report({ run, phase: now, documents, total, perSecond: Math.round(perSecond), leftMs: left, held });
  }

  /** What is owed shrinks at the rate that holds now; of what was not used, a second's worth is saved up. */
  function settle(bound: number): void {
    const nowMs = monotonicMs();
    const paid = ((nowMs - debt.atMs) * bound) / 1000;
    debt = { documents: Math.max(debt.documents - paid, -bound), atMs: nowMs };
  }

  return {
    batchMax() {
      const bound = rate();
      return bound === 0 ? BATCH_MAX : Math.min(BATCH_MAX, Math.max(BATCH_MIN, Math.ceil(bound / 4)));
    },
    async paused() {
      await look();
      return settings['backfill-paused'] || isEnded();
    },
    async take(count) {
      settle(rate());
      documents += count;
      debt = { ...debt, documents: debt.documents + count };
      for (;;) {
        await look();
        tell(false);
        const bound = rate();
        if (bound === 0) debt = { documents: 0, atMs: monotonicMs() };
        else settle(bound);
        if (debt.documents <= 0 || settings['backfill-paused'] || isEnded()) return;
        // In pieces: the rate may change meanwhile.
        await environment.sleep(Math.min((debt.documents / bound) * 1000, LOOK_MS), signal);
      }
    },
    phase(phase, expected, from = 0) {
      now = phase;
      [total, toCount] = typeof expected === 'function' ? [null, expected] : [expected, null];
      documents = from;
      startedAt = from;
      startedMs = monotonicMs();
      heeded = { documents, atMs: startedMs };
      tell(true);
    },
    async wait() {
      for (;;) {
        if (isEnded()) return true;
        await look();
        if (isEnded()) return true;
        if (!settings['backfill-paused']) return false;
        tell(true);
        await environment.sleep(LOOK_MS, signal);
      }
    },
    stopped(advice) {
      if (strain.kind !== 'over') return new CopyRefused('stopped', `stopped; ${advice}`);
      const { p99Ms, boundMs } = strain;
      const why = `the service's p99 on the authority is ${Math.round(p99Ms)} ms, over ${boundMs} ms`;
      return new CopyRefused('overloaded', `stopped, because ${why}; ${advice}`);
    },
  };
}

function heldBy(strain: Strain): Parameters<Report>[0]['held'] {
  if (strain.kind === 'free') return null;
  const { p99Ms, boundMs } = strain;
  const reason = strain.kind === 'slowed' ? 'slowed' : 'over';
  return { reason, p99Ms: Math.round(p99Ms), boundMs, rate: strain.kind === 'slowed' ? strain.rate : 0 };
}
