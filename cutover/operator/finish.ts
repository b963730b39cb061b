/**
 * What a change of authority left behind when its coordinator died: past the loss it is finished; before it, it is taken back
 * once its deadline has passed, for its coordinator may still live. Every move begins with this, and any instance does the same.
 */
import { changeControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { authorityOf, type Mode } from '../mode.ts';
import { mayAbort } from '../protocol/changes.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { AuthorityUnknown } from './errors.ts';
import { isOver, pause, type Run } from './run.ts';
import { readSituation, type Situation, type Standing, stand } from './situation.ts';

export interface Cleared {
  readonly standing: Standing;
  /** The change that was finished here, or by another meanwhile. */
  readonly finished: { readonly from: Mode; readonly to: Mode } | null;
  /** An attempt that was taken back. */
  readonly aborted: boolean;
  /** A change of authority still stands there: the run was over, or it is yet another. */
  readonly blocked: boolean;
}

/** Rejects with `AuthorityUnknown` or `StoreUnavailable` when the store that it takes does not answer. */
export async function finishOrAbort(run: Run): Promise<Cleared> {
  let situation = await readSituation(run);
  let finished: Cleared['finished'] = null;
  if (situation.unfinished !== null) {
    finished = await finish(run, situation);
    situation = await readSituation(run);
  }
  const watched = stand(situation).record.transition;
  if (watched === null) return { standing: stand(situation), finished, aborted: false, blocked: false };

  run.say('finish', `another change of authority stands there: watching it for ${watched.deadlineMs} ms`);
  const sinceMs = run.environment.now().monotonicMs;
  for (;;) {
    const standing = stand(situation);
    const { transition } = standing.record;
    if (transition?.id !== watched.id)
      return { standing, finished, aborted: false, blocked: transition !== null };
    if (mayAbort(watched, run.environment.now().monotonicMs - sinceMs)) {
      return { standing: await takeBack(run, standing, watched.id), finished, aborted: true, blocked: false };
    }
    if (isOver(run)) return { standing, finished, aborted: false, blocked: true };
    await pause(run, timingOf(settingsOf(standing.record)).fastPollMs * 5);
    situation = await readSituation(run);
    if (situation.unfinished !== null) return finishOrAbort(run);
  }
}

/** Writes into the winner what the loser's record says. */
export async function finish(run: Run, { readings, unfinished }: Situation): Promise<Cleared['finished']> {
  if (unfinished === null) return null;
  const { store, record } = readings[unfinished.store];
  if (store === null) throw new AuthorityUnknown(`${unfinished.store} gains authority and is not configured`);
  run.say('finish', `finishing a change of authority to ${unfinished.record.mode} that was left half done`);
  const gained = await changeControl(store, { kind: 'gain', record: unfinished.record });
  const from =
    record?.mode ?? (authorityOf(unfinished.record.mode) === 'postgres' ? 'shadow-read' : 'postgres-primary');
  const to = unfinished.record.mode;
  await logEvent(run, store, 'moved', gained.record, { from, to, finished: true });
  return { from, to };
}

async function takeBack(run: Run, { authority, other }: Standing, id: string): Promise<Standing> {
  const decision = await changeControl(authority, { kind: 'abort', id });
  if (decision.kind === 'write') {
    run.say('abort', 'took back an attempt past its deadline');
    await logEvent(run, authority, 'aborted', decision.record, {
      transition: id,
      reason: 'past its deadline',
    });
  }
  // Its note there is of no consequence, and replaced by the next attempt.
  if (other !== null) await changeControl(other, { kind: 'abort', id }).catch(() => {});
  return stand(await readSituation(run));
}
