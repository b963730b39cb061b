/** `cutover promote` and `cutover rollback`. */
import { isMode, MODES, type Mode, moveBetween } from '../../mode.ts';
import { move, planMove } from '../../operator/index.ts';
import type { Destination, MoveRequest, MoveResult, PlanResult } from '../../operator/types.ts';
import { failureOf } from '../failures.ts';
import { UsageError } from '../parse.ts';
import { interruptedLines, moveLines, passable, planLines } from '../print/moves.ts';
import { type Answer, answer, type Call, type Handler, unlessInterrupted, whenAborted } from './call.ts';

const TIMEOUT_S = 60;
/** How long it may take after Ctrl-C to take the attempt back, or to end what only goes forward. */
const PATIENCE_MS = 10_000;

const STATEMENT =
  'Writes of anything but this service (the old service, scripts, a shell) are not mirrored, and would be missing.\n' +
  'Type `none` to state that nothing else writes to MongoDB: ';

export const promote: Handler = (call) => go(call, { direction: 'promote', to: destination(call) });
export const rollback: Handler = (call) => go(call, { direction: 'rollback', to: destination(call) });

function destination({ options, verb }: Call): Mode | null {
  const to = options.text('to');
  if (to !== null && !isMode(to)) throw new UsageError(`--to must be one of ${MODES.join(', ')}`, verb);
  return to;
}

async function go(call: Call, to: Destination): Promise<Answer> {
  const { options, verb } = call;
  const reason = options.text('reason');
  if (options.has('force') !== (reason !== null) || reason?.trim() === '') {
    throw new UsageError('--force and --reason R belong together: the reason is recorded', verb);
  }
  const timeoutMs = options.whole('timeout', TIMEOUT_S) * 1_000;
  if (options.has('dry-run')) return plan(call, to);
  return make(call, {
    ...to,
    force: reason === null ? null : { reason },
    timeoutMs,
    noForeignWriters: options.has('no-foreign-writers') || (await stated(call, to)),
  });
}

async function plan({ context, interrupted, options }: Call, to: Destination): Promise<Answer> {
  const noForeignWriters = options.has('no-foreign-writers');
  const found = await unlessInterrupted(planMove(context, { ...to, noForeignWriters }), interrupted);
  const forced = options.has('force');
  const body = {
    from: null,
    to: null,
    steps: [],
    moves: [],
    allowed: false,
    reasons: [],
    ...withoutKind(found),
    dryRun: true as const,
  };
  return answer('plan', wouldBegin(found, forced) ? 'done' : 'refused', body, (style) =>
    planLines(found, style, forced),
  );
}

function wouldBegin(found: PlanResult, forced: boolean): boolean {
  if (found.kind === 'refused') return false;
  const failing = (found.moves[0]?.gates ?? []).filter(({ ok }) => !ok);
  return found.allowed || passable(failing, forced);
}

function withoutKind<T extends { readonly kind: string }>({ kind: _, ...rest }: T): Omit<T, 'kind'> {
  return rest;
}

/** Asks whoever sits at the terminal, where the way leads into `dual-write`. */
async function stated({ context, interrupted, ask }: Call, to: Destination): Promise<boolean> {
  if (ask === null || to.direction !== 'promote') return false;
  const way = await unlessInterrupted(planMove(context, to), interrupted);
  const asked =
    way.kind === 'planned' &&
    way.moves.some((each) => each.to === 'dual-write' && moveBetween(each.from, each.to)?.startsMirror);
  return asked && (await unlessInterrupted(ask(STATEMENT), interrupted)).trim() === 'none';
}

async function make({ context, interrupted }: Call, request: MoveRequest): Promise<Answer> {
  const moving = move(context, { ...request, interrupted });
  const patience = whenAborted(interrupted).then(() => context.environment.sleep(PATIENCE_MS));
  const ended = await Promise.race([moving, patience.then(() => null)]).catch((error: unknown) => {
    if (!interrupted.aborted) throw error;
    return interruptedAnswer(null, [`${failureOf(error).message}; ${NOT_KNOWN}`]);
  });
  if (ended === null) return interruptedAnswer(null, [`the stores do not answer; ${NOT_KNOWN}`]);
  if ('outcome' in ended) return ended;
  // What had come to its end by then is told as it is.
  if (!interrupted.aborted || ended.kind !== 'aborted') return movedAnswer(ended);
  return interruptedAnswer(ended.after, ended.reasons);
}

const movedAnswer = (result: MoveResult): Answer =>
  answer('move', result.kind, { ...withoutKind(result), dryRun: false }, (style) => moveLines(result, style));

const NOT_KNOWN =
  'what state it left is not known: look at `cutover status`; an attempt that still stands is taken back past its deadline, or finished, by any instance and by the next promote or rollback';

function interruptedAnswer(after: MoveResult['after'], reasons: readonly string[]): Answer {
  return answer('interruptedMove', 'aborted', { dryRun: false, interrupted: true, after, reasons }, (style) =>
    interruptedLines(after, reasons, style),
  );
}
