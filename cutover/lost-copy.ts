/**
 * Notices that the mirror's store was emptied, or put back from an older dump, before it is told of the record again; and that
 * PostgreSQL, whichever of the two it is, was replaced by a server that may lack what was written last.
 */
import type { StoreName } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import { compareStamps, ENTITIES, type Entity } from '../db/records.ts';
import { changeControl, readControl } from './control.ts';
import { type LogContext, logEvent } from './event-log.ts';
import { hasLeft } from './history.ts';
import { authorityOf, type CopyState, staleAfter, staleByHistory } from './mode.ts';
import { hasLostCopy } from './protocol/changes.ts';
import type { ControlRecord, PerStore } from './protocol/types.ts';
import { STORE_NAMES } from './words.ts';

const REPLACED =
  'PostgreSQL was replaced by a server on another history, such as a standby that was promoted';
/** By who has authority. */
const LEFT: PerStore<string> = {
  mongo: `${REPLACED}: it may lack what was mirrored last; the copy is stale until \`cutover backfill\`, then \`cutover verify\``,
  postgres: `${REPLACED}: it may lack what it answered last, which MongoDB keeps where it was mirrored, until newer writes go over it. \`cutover verify --full\` names it. \`cutover backfill --from postgres\` takes PostgreSQL for right; \`cutover failover\`, with PostgreSQL out of reach, takes MongoDB`,
};

/** Records of one kind that are looked at: more, and it takes a backfill to complete the copy. */
const STARTED_EMPTY_MAX = 5_000;

/**
 * What the other store was told last, for whoever is about to tell it of the record; null while the copy that counts as complete,
 * or is being completed, is lost: then it is made stale first, and whoever asks looks again. Asked before each telling, since
 * nobody could see it afterwards.
 */
export async function lookBeforeTelling(
  context: LogContext,
  authority: Store,
  other: Store,
): Promise<{ readonly seen: ControlRecord | null } | null> {
  const record = await readControl(authority);
  const own = await readControl(other);
  if (record === null || authorityOf(record.mode) !== authority.name) return { seen: own };
  if (!hasLostCopy(record, own)) {
    if (!(await hasLeft(record, authority.name === 'postgres' ? authority : other))) return { seen: own };
    const copy = staleByHistory(authority.name, record.copy, context.environment.date().getTime());
    await markLost(context, authority, record, copy, { store: 'postgres', reason: LEFT[authority.name] });
    return null;
  }
  // A new system is written down in one store after the other, and may serve in between. Later a store that still holds all may
  // be one that is being dropped, collection by collection.
  if (own === null && record.revision === 1 && (await isWholeOrMarked(authority, other)))
    return { seen: own };
  const copy = staleAfter(record.copy, context.environment.date().getTime());
  const found = own === null ? 'no control record' : 'the control record of an earlier epoch';
  const from = authority.name === 'postgres' ? ' --from postgres' : '';
  const remedy = `\`cutover backfill${from}\`, then \`cutover verify\``;
  const reason = `${STORE_NAMES[other.name]} holds ${found}: it was emptied, or put back from an older dump; the copy is stale until ${remedy}`;
  await markLost(context, authority, record, copy, { store: other.name, reason });
  return null;
}

/** Of several who see it at once only one tells. */
async function markLost(
  context: LogContext,
  authority: Store,
  { mode, epoch, copy: expected }: ControlRecord,
  copy: CopyState,
  { store, reason }: { readonly store: StoreName; readonly reason: string },
): Promise<void> {
  const decision = await changeControl(authority, { kind: 'mark-copy', copy, expected, epoch });
  if (decision.kind !== 'write') return;
  context.telemetry.error({ store, mode, epoch }, reason);
  await logEvent(context, authority, 'copy', decision.record, { copy: 'stale', store, reason });
}

/**
 * Whether each record of the authority is marked, or in the mirror under the same stamp. Asked once every instance marks
 * what it writes: then nothing can have been written in between, and the copy is complete as soon as the marks are drained.
 */
export async function isWholeOrMarked(authority: Store, other: Store): Promise<boolean> {
  const each = await Promise.all(ENTITIES.map((entity) => isEntityWhole(entity, authority, other)));
  return !each.includes(false);
}

async function isEntityWhole<E extends Entity>(entity: E, authority: Store, other: Store): Promise<boolean> {
  const { records, unreadable, next } = await authority.replica.scan(entity, {
    after: null,
    limit: STARTED_EMPTY_MAX,
  });
  if (next !== null || unreadable.length > 0) return false;
  const ids = records.map(({ id }) => id);
  // The authority first: a mark that is gone by then has gone into the mirror.
  const here = await authority.replica.read(entity, ids);
  const unmarked = [...here.found].filter(([, { pendingAt }]) => pendingAt === null);
  if (unmarked.length === 0) return true;
  // What was emptied whole has no tables either.
  if (!(await other.isMigrated('tables'))) return false;
  const there = await other.replica.read(
    entity,
    unmarked.map(([id]) => id),
  );
  return unmarked.every(([id, { record }]) => {
    const mirrored = there.found.get(id);
    return mirrored !== undefined && compareStamps(mirrored.record.stamp, record.stamp) >= 0;
  });
}
