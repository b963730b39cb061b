/**
 * Drives one attempt at a change of authority: the steps and their order are `protocol/coordinator.ts`; here each request
 * becomes one call to a store, made after the request, and what has no answer is `unknown`.
 */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { changeControl, readControl, readLeases } from '../control.ts';
import { hasLeft } from '../history.ts';
import type { Mode } from '../mode.ts';
import {
  type CoordinatorState,
  giveUp,
  newAttempt,
  onReply,
  overdue,
  type Reply,
  type Request,
  requestOf,
  type Stage,
} from '../protocol/coordinator.ts';
import type { ControlRecord, PerStore, Timing } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { LOST_COPY, whyRefused } from '../words.ts';
import { lastCheck, newSuspects, noteMarked } from './last-check.ts';
import { isOver, pause, type Run, whyOver } from './run.ts';

export interface AttemptResult {
  /** `unknown`: the stores fell silent between the two halves; whoever comes next finishes it, or takes it back. */
  readonly kind: 'done' | 'aborted' | 'unknown';
  readonly reasons: readonly string[];
  /** From asking for the fence until authority was taken over, or the fence taken back; null before the fence. */
  readonly pauseMs: number | null;
  /** The instances that were alive behind the fence. */
  readonly alive: readonly string[];
}

const MESSAGES: Readonly<Record<Exclude<Stage, 'done' | 'aborted'>, string>> = {
  'wait-silent': 'waiting out silent instances; all others serve',
  announce: 'announcing the change in both stores',
  note: 'noting it in the store that is to take over',
  'await-announced': 'waiting until every instance has seen it',
  fence: 'closing the fence: requests wait from here on',
  'await-stopped': 'waiting until every instance has stopped',
  'drain-loser': 'draining what is pending',
  'drain-winner': 'seeing that nothing is marked in the other store',
  'last-check': 'a last look at what was written around the fence',
  'ask-winner': 'asking the store that is to take over once more',
  lose: 'authority is given up; from here on it only goes forward',
  gain: 'authority is taken over',
  abort: 'taking the attempt back',
};
/** Once the outcome can no longer be told otherwise, the stores are asked for this much longer than the verb may last. */
const FORWARD_MS = 10_000;
/** Whoever had seen it by then has taken it back, and nobody else will see it. */
const LATE = 'not every instance had seen the announcement by its deadline';
/** Between two looks at what is marked, from the announcement on. */
const LOOK_EVERY_MS = 50;

/** One attempt from `record`, whose gates have been passed, and from no other. */
export async function attemptChange(
  run: Run,
  stores: { readonly loser: Store; readonly winner: Store },
  record: ControlRecord,
  target: Mode,
): Promise<AttemptResult> {
  const { environment } = run;
  const timing = timingOf(settingsOf(record));
  const begun = newAttempt(environment.newId(), record, target, timing, environment.date().getTime());
  if (begun === null)
    return { kind: 'aborted', reasons: ['this is no change of authority'], pauseMs: null, alive: [] };
  const nowMs = () => environment.now().monotonicMs;
  const isPast = (sinceMs: number | null, ms: number) => sinceMs !== null && nowMs() - sinceMs >= ms;
  const perform = createPerformer(run, stores, begun.transition.id, record);
  let state: CoordinatorState = begun;
  let announceAskedMs: number | null = null;
  let fenceAskedMs: number | null = null;
  let pauseMs: number | null = null;
  say(run, state.stage);

  for (let request = requestOf(state); request !== null; request = requestOf(state)) {
    if (state.stage === 'announce') announceAskedMs ??= nowMs();
    if (state.stage === 'fence') fenceAskedMs ??= nowMs();
    const before: Stage = state.stage;
    state = onReply(state, await perform.reply(request, before), nowMs(), timing, run.rules);
    if (state.stage !== before) {
      if (fenceAskedMs !== null && (before === 'gain' || before === 'abort'))
        pauseMs = nowMs() - fenceAskedMs;
      say(run, state.stage);
    }
    // Asked at each new stage too: over, it announces nothing more, and closes no fence.
    const isLate = state.stage === 'await-announced' && isPast(announceAskedMs, timing.deadlineMs);
    if ((isOver(run) && mayStop(state.stage)) || isLate) {
      state = giveUp(state, isLate ? LATE : whyOver(run));
      say(run, state.stage);
      continue;
    }
    // The last moment at which that is still allowed.
    const late = state.stage === 'lose' && before !== 'lose' ? overdue(state, nowMs(), timing) : null;
    if (late !== null) {
      state = giveUp(state, late);
      say(run, state.stage);
    }
    if (state.stage !== before) continue;
    if (nowMs() >= run.untilMs + FORWARD_MS) return silence(before, pauseMs);
    const waitMs = pauseAt(before, timing);
    await (mayStop(before) ? pause(run, waitMs) : environment.sleep(waitMs));
  }
  const reasons = [perform.refusal() ?? state.reason, ...perform.differences()].filter(
    (reason) => reason !== null,
  );
  const alive = Object.keys(state.watch).filter((instance) => state.watch[instance]?.moved === true);
  if (state.stage === 'done') return { kind: 'done', reasons: [], pauseMs, alive };
  await forgetNote(stores.winner, state.transition.id);
  return { kind: 'aborted', reasons, pauseMs, alive };
}

/**
 * Between two questions of the same kind, ms: behind the fence, where everybody waits for the answer, the least. Not while
 * instances come to a stop: each question takes its turn among the requests that they wait for.
 */
function pauseAt(stage: Stage, { heartbeatMs, fastPollMs }: Timing): number {
  if (stage === 'wait-silent') return heartbeatMs / 5;
  if (stage === 'announce' || stage === 'note' || stage === 'await-announced') return fastPollMs;
  return stage === 'await-stopped' ? fastPollMs / 2 : fastPollMs / 4;
}

/** Past asking for the loss nobody knows on which side it is, so nobody may turn back on a doubt. */
function mayStop(stage: Stage): boolean {
  return !['lose', 'gain', 'abort', 'done', 'aborted'].includes(stage);
}

function silence(stage: Stage, pauseMs: number | null): AttemptResult {
  const reason =
    stage === 'abort'
      ? 'the attempt could not be taken back: past its deadline any instance does, and the next verb'
      : 'the stores fell silent while authority was moving: any instance finishes it or takes it back, and the next verb';
  return { kind: 'unknown', reasons: [reason], pauseMs, alive: [] };
}

function say(run: Run, stage: Stage): void {
  if (stage !== 'done' && stage !== 'aborted') run.say(stage, MESSAGES[stage]);
}

interface Performer {
  reply(request: Request, stage: Stage): Promise<Reply>;
  /** What the last check found. */
  differences(): readonly string[];
  /** Why the attempt could not be announced; null: it could, or was not yet. */
  refusal(): string | null;
}

function createPerformer(
  run: Run,
  { loser, winner }: { readonly loser: Store; readonly winner: Store },
  id: string,
  record: ControlRecord,
): Performer {
  const suspects = newSuspects();
  let differing: readonly string[] = [];
  let refusal: string | null = null;
  const storeOf = (name: Store['name']) => (name === loser.name ? loser : winner);

  /** Each store's record as last seen, which spares the changes a read. */
  const known: { -readonly [S in keyof PerStore<unknown>]: ControlRecord | null } = {
    mongo: null,
    postgres: null,
  };
  known[loser.name] = record;

  let looking: Promise<void> | null = null;
  let lookedMs = Number.NEGATIVE_INFINITY;
  /** From the announcement on the marks tell what the last check should look at. Beside the protocol, never in its way. */
  function look(): void {
    const nowMs = run.environment.now().monotonicMs;
    if (looking !== null || nowMs - lookedMs < LOOK_EVERY_MS) return;
    lookedMs = nowMs;
    looking = noteMarked(loser, suspects)
      .catch(() => {})
      .finally(() => {
        looking = null;
      });
  }

  async function change(request: Extract<Request, { readonly kind: 'change' }>): Promise<Reply> {
    const { store } = request;
    const decision = await changeControl(storeOf(store), request.change, run.rules, known[store]);
    known[store] = decision.record;
    if (decision.kind === 'refused' && request.change.kind === 'announce') {
      refusal = whyRefused(decision.reason, decision.record);
    }
    return { kind: 'change', decision };
  }

  /** In sentences. Whoever has taken PostgreSQL's place since the gates were judged may lack what they were judged on. */
  async function lastDifferences(): Promise<readonly string[]> {
    const [keys, isReplaced] = await Promise.all([
      lastCheck({ loser, winner }, suspects, run.environment.date()),
      hasLeft(record, run.stores.postgres),
    ]);
    return [
      ...(isReplaced ? [LOST_COPY] : []),
      ...keys
        .slice(0, 10)
        .map((key) => `${key} is not the same in both stores: see whether the mirror keeps up`),
    ];
  }

  async function perform(request: Request, stage: Stage): Promise<Reply> {
    switch (request.kind) {
      case 'rows': {
        if (stage === 'await-announced' || stage === 'await-stopped') look();
        const rows = await readLeases(storeOf(request.store));
        return { kind: 'rows', rows };
      }
      case 'change':
        return change(request);
      case 'count-marks': {
        const { count } = await storeOf(request.store).replica.countMarks();
        if (count > 0 && request.store === loser.name) look();
        return { kind: 'marks', count };
      }
      case 'last-check':
        await looking;
        differing = await lastDifferences();
        return { kind: 'checked', clean: differing.length === 0 };
      case 'control': {
        const read = await readControl(storeOf(request.store));
        known[request.store] = read;
        return read === null ? { kind: 'unknown' } : { kind: 'control', record: read };
      }
    }
  }

  return {
    async reply(request, stage) {
      try {
        return await perform(request, stage);
      } catch (error) {
        if (error instanceof StoreUnavailable) return { kind: 'unknown' };
        // A fault of ours, or a record of another version: nobody should stand behind a fence for it.
        if (mayStop(stage)) await changeControl(loser, { kind: 'abort', id }).catch(() => {});
        throw error;
      }
    },
    refusal: () => refusal,
    differences: () => differing,
  };
}

/** Best effort: a note that stays is replaced by the next attempt. */
async function forgetNote(winner: Store, id: string): Promise<void> {
  await changeControl(winner, { kind: 'abort', id }).catch(() => {});
}
