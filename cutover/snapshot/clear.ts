/** `cutover snapshot clear`: the operator's word that a restored store may serve, as a system of its own. */
import type { StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { fromControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { type CopyState, type Mode, otherStore } from '../mode.ts';
import type { OperatorContext } from '../operator/types.ts';
import type { ControlRecord, Setting } from '../protocol/types.ts';
import { type Fence, fenceOf } from './fence.ts';
import { type Cleared, SnapshotRefused } from './types.ts';

/** `name` null: whichever store is fenced. Throws `SnapshotRefused`, `StoreUnavailable`. */
export async function clearRestored(context: OperatorContext, name: StoreName | null): Promise<Cleared> {
  const { stores, environment } = context;
  const store = name === null ? await onlyFenced(context) : stores[name];
  const entry = (await store?.books.readControl()) ?? null;
  const fence = entry === null ? null : fenceOf(entry);
  if (store === null || entry === null || fence === null) throw notRestored();
  if (!fence.complete) {
    throw new SnapshotRefused(
      'unfinished',
      `the restore of ${fence.snapshot} did not end: the store holds a part of it`,
      'restore it again with --replace',
    );
  }
  await assertAlone(stores[otherStore(store.name)]);
  const record: ControlRecord = {
    ...beginning(store.name, environment.date().getTime()),
    // Above every record in it, so that none refuses the first write.
    epoch: fence.epoch + 1,
    revision: entry.revision + 1,
    transition: null,
    changedBy: null,
    system: environment.newId(),
    settings: settingsIn(fence),
  };
  if (!(await store.books.replaceControl(entry, fromControl(record)))) throw notRestored();
  await logEvent(context, store, 'created', record, { copy: record.copy.kind, restoredFrom: fence.snapshot });
  return { store: store.name, snapshot: fence.snapshot, mode: record.mode, epoch: record.epoch };
}

const notRestored = (): SnapshotRefused =>
  new SnapshotRefused('not-restored', 'no store waits for this: none was restored', 'cutover status');

async function onlyFenced({ stores }: OperatorContext): Promise<Store> {
  const fenced: Store[] = [];
  for (const store of [stores.mongo, stores.postgres]) {
    const entry = (await store?.books.readControl()) ?? null;
    if (store !== null && entry !== null && fenceOf(entry) !== null) fenced.push(store);
  }
  const [first, second] = fenced;
  if (first === undefined) throw notRestored();
  if (second === undefined) return first;
  throw new SnapshotRefused(
    'in-use',
    'both stores were restored: each as of another moment, so only one can begin',
    'name it with --store mongo|postgres, and point the other URL at an empty database',
  );
}

/** One store begins; the other follows by a backfill, into an empty database. */
async function assertAlone(other: Store | null): Promise<void> {
  if (other === null || (await other.books.readControl()) === null) return;
  throw new SnapshotRefused(
    'in-use',
    `${other.name} has a control record: a restored store can only begin alone, not join another`,
    'point the other URL at an empty database, or leave it out; a backfill fills it afterwards',
  );
}

function beginning(name: StoreName, nowMs: number): { readonly mode: Mode; readonly copy: CopyState } {
  return name === 'mongo'
    ? { mode: 'mongo-only', copy: { kind: 'none' } }
    : { mode: 'postgres-only', copy: { kind: 'stale', sinceMs: nowMs } };
}

function settingsIn({ control }: Fence): Readonly<Record<string, Setting>> {
  if (typeof control !== 'object' || control === null || !('settings' in control)) return {};
  const { settings } = control;
  if (typeof settings !== 'object' || settings === null) return {};
  return Object.fromEntries(
    Object.entries(settings).filter((each): each is [string, Setting] =>
      ['string', 'number', 'boolean'].includes(typeof each[1]),
    ),
  );
}
