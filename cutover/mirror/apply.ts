/** The two plain writes of the mirror: an apply into it, and taking the mark off in the authority. */
import { StaleEpoch, StoreUnavailable } from '../../db/errors.ts';
import type { Entity, RecordOf } from '../../db/records.ts';
import type { ApplyOutcome, Held, Marked } from '../../db/replica.ts';
import type { Pass } from './pass.ts';

/** Bounds a statement, and how long it holds others up. */
const CLEAR_MAX = 100;

/** Outcomes in order. An error that one record causes is told of that record alone. */
export async function applyRecords<E extends Entity>(
  pass: Pass,
  entity: E,
  records: readonly RecordOf[E][],
): Promise<readonly ApplyOutcome[]> {
  pass.assertMayContinue();
  const expiredBefore = new Date(pass.environment.date().getTime() - pass.retentionMs);
  try {
    const under = { epoch: pass.epoch, expiredBefore };
    return await pass.callMirror((replica) => replica.apply(entity, records, under));
  } catch (error) {
    if (error instanceof StoreUnavailable || error instanceof StaleEpoch) throw error;
    if (records.length === 1) return [{ kind: 'refused', reason: nameOf(error) }];
    const middle = Math.ceil(records.length / 2);
    return [
      ...(await applyRecords(pass, entity, records.slice(0, middle))),
      ...(await applyRecords(pass, entity, records.slice(middle))),
    ];
  }
}

export function isMirrored({ kind }: ApplyOutcome): boolean {
  return kind === 'applied' || kind === 'same' || kind === 'expired';
}

/** Takes the marks off exactly these states, which the mirror holds. */
export async function clear<E extends Entity>(
  pass: Pass,
  entity: E,
  mirrored: readonly Held<E>[],
): Promise<void> {
  if (mirrored.length === 0) return;
  const { telemetry, mirror } = pass;
  const nowMs = pass.environment.date().getTime();
  await unmark(pass, entity, mirrored);
  telemetry.count('cutover_mirror_applied_total', { store: mirror.name }, mirrored.length);
  for (const { pendingAt } of mirrored) {
    if (pendingAt === null) continue;
    const lagSeconds = Math.max(0, nowMs - pendingAt.getTime()) / 1_000;
    telemetry.observe('cutover_mirror_lag_seconds', { store: mirror.name }, lagSeconds);
  }
}

/** Takes the marks off exactly these states, of which nothing more is said. */
export async function unmark<E extends Entity>(
  pass: Pass,
  entity: E,
  helds: readonly Held<E>[],
): Promise<void> {
  const marks = helds.flatMap(({ record: { id, stamp }, pendingAt }): Marked[] =>
    pendingAt === null ? [] : [{ entity, id, stamp }],
  );
  for (let from = 0; from < marks.length; from += CLEAR_MAX) {
    await pass.lull();
    // After it, for the permit may end meanwhile.
    pass.assertMayContinue();
    await pass.authority.replica.clearMarks(marks.slice(from, from + CLEAR_MAX));
  }
}

/** For a log: what kind of error it was, never its message. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown';
}
