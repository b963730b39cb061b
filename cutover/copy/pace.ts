/** How fast a copy goes: settings and the service are looked at while it runs, and progress is told. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { readControl } from '../control.ts';
import { DEFAULT_SETTINGS, type Settings, settingsOf } from '../settings.ts';
import { createHeed, type Heed } from './heed.ts';
import { FREE, type Strain } from './strain.ts';
import { type CopyPhase, CopyRefused, type CopyScope, type Report } from './types.ts';

const LOOK_MS = 1_000;
const TELL_MS = 500;
/** Not every server knows at once how much there is; who is done before need not know. */
const COUNT_MS = 3_000;
/** A batch is as small as a slow rate asks for. */
const BATCH_MAX = 1_000;
const BATCH_MIN = 10;

export interface Pace {
  /** Looks before anything is done: whether the service is known to be fast enough for any of it, and nobody called it off. */
  ready(): Promise<boolean>;
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
  /** False: whoever takes something back wants it done, whatever the service's speed and though copies are paused. Default true. */
  readonly heeds?: boolean;
  /** What this process has heard of the service before. */
  readonly heed?: Heed;
  /** Asked over and over: whether the work is to end, for whatever reason. */
  readonly isCalledOff?: () => Promise<boolean>;
}

export function createPace({ environment }: CopyScope, options: PaceOptions): Pace {
  const { run, authority, report, signal, heeds = true, isCalledOff } = options;
  const heed = options.heed ?? createHeed(environment);
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
  let calledOff = false;

  async function look(): Promise<void> {
    const nowMs = monotonicMs();
    if (nowMs - lookedMs < LOOK_MS) return;
    lookedMs = nowMs;
    if (nowMs - startedMs >= COUNT_MS) count();
    try {
      settings = settingsOf(await readControl(authority));
      if (heeds) await heedService();
      calledOff = (await isCalledOff?.()) === true;
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

  /** Once it is to stop it stays so, whatever is heard later. */
  async function heedService(): Promise<void> {
    await heed.look(authority, settings);
    const was = strain.kind;
    if (was !== 'over') strain = heed.strain();
    if (strain.kind !== was) tell(true);
  }

  const isPaused = (): boolean => heeds && settings['backfill-paused'];
  const isEnded = (): boolean => signal?.aborted === true || strain.kind === 'over' || calledOff;

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
    const held = isPaused() ? ({ reason: 'paused' } as const) : heldBy(strain);
    report({ run, phase: now, documents, total, perSecond: Math.round(perSecond), leftMs: left, held });
  }

  /** What is owed shrinks at the rate that holds now; of what was not used, a second's worth is saved up. */
  function settle(bound: number): void {
    const nowMs = monotonicMs();
    const paid = ((nowMs - debt.atMs) * bound) / 1000;
    debt = { documents: Math.max(debt.documents - paid, -bound), atMs: nowMs };
  }

  return {
    async ready() {
      await look();
      tell(true);
      const isBounded = settings['backfill-slow-p99-ms'] > 0 || settings['backfill-stop-p99-ms'] > 0;
      return !isEnded() && (heed.isHeard() || !isBounded);
    },
    batchMax() {
      const bound = rate();
      return bound === 0 ? BATCH_MAX : Math.min(BATCH_MAX, Math.max(BATCH_MIN, Math.ceil(bound / 4)));
    },
    async paused() {
      await look();
      return isPaused() || isEnded();
    },
    async take(count) {
      settle(rate());
      documents += count;
      heed.moved(count);
      debt = { ...debt, documents: debt.documents + count };
      for (;;) {
        await look();
        tell(false);
        const bound = rate();
        if (bound === 0) debt = { documents: 0, atMs: monotonicMs() };
        else settle(bound);
        if (debt.documents <= 0 || isPaused() || isEnded()) return;
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
      heed.begin();
      tell(true);
    },
    async wait() {
      for (;;) {
        if (isEnded()) return true;
        await look();
        if (isEnded()) return true;
        if (!isPaused()) return false;
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
