import { changeControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import type { Transition } from '../protocol/types.ts';
import { readSituation, stand, summarize } from './situation.ts';
import type { AbortResult, OperatorContext } from './types.ts';

/** Takes a change of authority back, before its deadline too, as long as the losing store has not given authority up. */
export async function abort(context: OperatorContext): Promise<AbortResult> {
  const situation = await readSituation(context);
  const { unfinished } = situation;
  if (unfinished !== null) {
    const { mode, epoch, revision, copy, transition } = unfinished.record;
    const before = {
      mode,
      epoch,
      revision,
      authority: unfinished.store,
      copy,
      transition,
      pending: { count: null, oldestAgeMs: null },
    };
    const reason = `authority has been given up already: it only goes forward to ${mode}; any instance finishes it, and the next promote or rollback`;
    const { store } = situation.readings[unfinished.store];
    if (store !== null)
      await logEvent(context, store, 'refused', unfinished.record, { verb: 'abort', reason });
    return { kind: 'refused', before, after: before, reasons: [reason], longestPauseMs: null };
  }
  const standing = stand(situation);
  const before = await summarize(context, standing);
  const { transition } = standing.record;
  const refuse = async (reason: string, after = before): Promise<AbortResult> => {
    await logEvent(context, standing.authority, 'refused', standing.record, { verb: 'abort', reason });
    return { kind: 'refused', before, after, reasons: [reason], longestPauseMs: null };
  };
  if (transition === null) return refuse('no change of authority is under way');
  const decision = await changeControl(standing.authority, { kind: 'abort', id: transition.id });
  const longestPauseMs = pauseOf(transition, context.environment.date());
  // Its note in the other store is of no consequence, and replaced by the next attempt.
  if (standing.other !== null)
    await changeControl(standing.other, { kind: 'abort', id: transition.id }).catch(() => {});
  const after = await summarize(context, stand(await readSituation(context)));
  if (decision.kind === 'refused') {
    return refuse(`too late: it has ended, or authority has been given up; the mode is ${after.mode}`, after);
  }
  const details = { transition: transition.id, target: transition.target, reason: 'by the operator' };
  await logEvent(context, standing.authority, 'aborted', decision.record, details);
  return { kind: 'done', before, after, reasons: [], longestPauseMs };
}

/** No record says when the fence was closed, only when the attempt began. */
function pauseOf({ begunAtMs, phase }: Transition, now: Date): number | null {
  return phase !== 'fenced' || begunAtMs === undefined ? null : Math.max(0, now.getTime() - begunAtMs);
}
