/** `cutover status`, once or every second. */
import { readStatus } from '../../operator/index.ts';
import type { OperatorContext, Status } from '../../operator/types.ts';
import { statusLines } from '../print/status.ts';
import {
  type Answer,
  answer,
  awayNotice,
  type Call,
  type Handler,
  unlessInterrupted,
  whenAborted,
} from './call.ts';

/** Long enough to see a heartbeat of the default length move. */
const WATCH_MS = 1_500;
const REFRESH_MS = 1_000;

export const status: Handler = (call) => (call.options.has('watch') ? watch(call) : once(call));

async function once({ context, interrupted }: Call): Promise<Answer> {
  const found = await unlessInterrupted(readStatus(context, { watchMs: WATCH_MS }), interrupted);
  return answerOf(found, context);
}

async function watch(call: Call): Promise<Answer> {
  const { context, print, printFailure } = call;
  // Nobody reads what comes next, as behind `head`.
  const interrupted = AbortSignal.any([call.interrupted, call.unread]);
  const { now, sleep } = context.environment;
  const ended = whenAborted(interrupted).then(() => null);
  while (!interrupted.aborted) {
    const startedMs = now().monotonicMs;
    const reading = readStatus(context, { watchMs: REFRESH_MS }).then((found) => answerOf(found, context));
    const seen = await Promise.race([reading, ended]).catch((error: unknown) => error);
    if (seen === null) break;
    if (isAnswer(seen)) print(seen);
    else await printFailure(seen);
    await sleep(Math.max(0, REFRESH_MS - (now().monotonicMs - startedMs)), interrupted);
  }
  return { outcome: 'done', body: {}, lines: () => [] };
}

const isAnswer = (seen: unknown): seen is Answer =>
  typeof seen === 'object' && seen !== null && 'outcome' in seen && 'lines' in seen;

function answerOf(found: Status, context: OperatorContext): Answer {
  // A store that the mode does without may be gone for good; of one that it needs, this command may not have been told.
  const needed = found.stores.filter(({ role }) => role !== 'unused');
  return withTroubles(
    needed,
    context,
    answer('status', 'done', { ...found }, (style) => statusLines(found, style)),
  );
}

/** The answer, as it is where one of the stores that it rests on does not tell. */
export function withTroubles(needed: Status['stores'], context: OperatorContext, seen: Answer): Answer {
  const missing = needed.filter(({ reachable }) => !reachable).map(({ name }) => name);
  const problems = needed.map(({ problem }) => problem).filter((problem) => problem !== null);
  const outcome = missing.length > 0 ? 'unreachable' : problems.length > 0 ? 'difference' : 'done';
  if (outcome === 'done') return seen;
  const away = missing.length === 0 ? [] : [awayNotice(missing, context)];
  return { ...seen, outcome, notice: [...away, ...problems].join('; ') };
}
