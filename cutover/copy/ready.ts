/** What must hold before a copy may begin, and what it says in the end. */
import type { StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { assertOneSystem, changeControl, readControl, readLeases } from '../control.ts';
import type { Environment } from '../environment.ts';
import type { Event } from '../event-log.ts';
import { authorityOf, type CopyState, mirrorOf, otherStore } from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { Refusal } from '../protocol/changes.ts';
import { isSilent, type Watch, watchRows } from '../protocol/silence.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { CopyRefused, type CopyScope } from './types.ts';

/** How much longer than any lease could hold a silent instance's row up; or than a change of authority lasts. */
const PATIENCE_MS = 30_000;
const LOOK_MS = 100;

/** The authority's record. Throws `CopyRefused` unless `from` is the authority and its mirror, the other store, is on. */
export async function assertCopyable(
  { stores }: Pick<CopyScope, 'stores'>,
  from: StoreName,
): Promise<ControlRecord> {
  const target = otherStore(from);
  const [record, seen] = await Promise.all([readControl(stores[from]), readControl(stores[target])]);
  assertOneSystem(record, seen);
  if (record === null || authorityOf(record.mode) !== from || (seen !== null && seen.epoch > record.epoch)) {
    throw new CopyRefused(
      'not-authority',
      `${from} is not the authority: nothing is ever copied over the authority`,
    );
  }
  if (record.transition !== null) {
    throw new CopyRefused('in-transition', 'authority is about to change: wait for that to end');
  }
  if (mirrorOf(record.mode) !== target) {
    throw new CopyRefused(
      'no-mirror',
      `in ${record.mode} nothing is mirrored to ${target}: what is written meanwhile would be missed`,
    );
  }
  return record;
}

/** Which store has authority, and its control record, whatever the other one says. */
export async function authorityNow({
  stores,
}: Pick<CopyScope, 'stores'>): Promise<{ readonly authority: StoreName; readonly record: ControlRecord }> {
  const records = await Promise.all([readControl(stores.mongo), readControl(stores.postgres)]);
  assertOneSystem(...records);
  const [record] = records
    .filter((each) => each !== null)
    .sort((a, b) => b.epoch - a.epoch || b.revision - a.revision);
  if (record === undefined) throw new CopyRefused('not-authority', 'neither store has a control record');
  const authority = authorityOf(record.mode);
  const own = await readControl(stores[authority]);
  return { authority, record: own ?? record };
}

/** Asked before each write that a store does not guard by itself. Throws `CopyRefused` when authority has moved, or is about to. */
export async function assertUnmoved(
  { stores }: Pick<CopyScope, 'stores'>,
  authority: StoreName,
  { epoch }: ControlRecord,
): Promise<void> {
  const [own, other] = await Promise.all([
    readControl(stores[authority]),
    readControl(stores[otherStore(authority)]),
  ]);
  if (own === null || own.epoch !== epoch || (other !== null && other.epoch > epoch)) {
    throw new CopyRefused('not-authority', 'authority has moved meanwhile: what is left was not touched');
  }
  if (own.transition !== null || (other?.transition ?? null) !== null) {
    throw new CopyRefused('in-transition', 'authority is about to change: what is left was not touched');
  }
}

/** Resolves once every living instance follows this revision or a later one, so that each write is marked. */
export async function awaitInstances(
  store: Store,
  record: ControlRecord,
  environment: Environment,
  signal?: AbortSignal,
): Promise<void> {
  const timing = timingOf(settingsOf(record));
  const deadlineMs = environment.now().monotonicMs + PATIENCE_MS + timing.leaseMs + timing.marginMs;
  let watch: Watch = {};
  for (;;) {
    const askedMs = environment.now().monotonicMs;
    const rows = await readLeases(store);
    const nowMs = environment.now().monotonicMs;
    watch = watchRows(watch, rows, nowMs);
    const behind = rows.filter(
      (row) => row.revision < record.revision && !isSilent(watch, row, askedMs, timing),
    );
    if (behind.length === 0) return;
    if (nowMs > deadlineMs || signal?.aborted === true) {
      const names = behind.map(({ instance }) => instance).join(', ');
      throw new CopyRefused('instances-behind', `not yet at revision ${record.revision}: ${names}`);
    }
    await environment.sleep(LOOK_MS, signal);
  }
}

/**
 * Writes the copy's state while the mirror is on and it is still `expected` under this epoch, or finds it done: null; otherwise
 * why not. A change of authority that is on its way is waited for: whether it comes is not known yet.
 */
export async function markCopy(
  { environment }: Pick<CopyScope, 'environment'>,
  store: Store,
  epoch: number,
  expected: CopyState,
  copy: CopyState,
): Promise<Refusal | null> {
  const untilMs = environment.now().monotonicMs + PATIENCE_MS;
  for (;;) {
    const decision = await changeControl(store, { kind: 'mark-copy', copy, expected, epoch });
    if (decision.kind !== 'refused') return null;
    if (decision.reason !== 'in-transition' || environment.now().monotonicMs > untilMs)
      return decision.reason;
    await environment.sleep(LOOK_MS);
  }
}

/** Evidence for the gates, in the authority's books. */
export async function putEvidence(
  { environment, mongo }: CopyScope,
  store: Store,
  key: 'backfill' | 'verify' | 'snapshot',
  body: { readonly clean: boolean; readonly run: string; readonly copy: string | null },
): Promise<void> {
  const now = environment.date();
  await store.books.putNote(
    NOTES.evidence,
    key,
    { ...body, mapping: mongo.codec.digest, atMs: now.getTime() },
    now,
  );
}

/** One entry of the event log. */
export async function logCopy(
  { environment }: CopyScope,
  store: Store,
  id: string,
  details: Event['details'],
): Promise<void> {
  const record = await readControl(store);
  if (record === null) return;
  const { mode, epoch, revision } = record;
  const body: Event = { kind: 'copy', mode, epoch, revision, details };
  await store.books.log({ at: environment.date(), id, body: { ...body, details: { ...details } } });
}
