import { erasedAmong, judge, screen } from '../../apply.ts';
import { type Codec, markOf, pathOf, STORE_FIELDS, stampOf } from '../../canonical.ts';
import { StaleEpoch, StoreUnavailable, UnfaithfulWrite } from '../../errors.ts';
import { compareStamps, type Entity, type RecordOf } from '../../records.ts';
import type { ApplyOutcome, Books, Replica } from '../../replica.ts';
import type { Client } from '../client.ts';
import { INDEX_NAMES } from '../indexes.ts';
import { forgetKept } from '../kept.ts';
import type { StoredDoc } from '../models.ts';
import { type BulkOperation, bulkWrite, type Failure } from './bulk.ts';
import { applyOver, filterFor, idOf } from './documents.ts';
import { readDocuments } from './read.ts';

/** Each round some other writer won a race. */
const ROUNDS_MAX = 10;
const DUPLICATE_KEY = 11000;

interface Item<E extends Entity> {
  readonly index: number;
  readonly record: RecordOf[E];
}

/** An item with what is to be written for it. */
interface Planned<E extends Entity> {
  readonly item: Item<E>;
  readonly operation: BulkOperation;
}

type Outcomes = Map<number, ApplyOutcome>;

export function createApply(
  client: Client,
  { readControl }: Pick<Books, 'readControl'>,
): Pick<Replica, 'apply'> {
  async function assertEpoch(epoch: number): Promise<void> {
    const control = await readControl();
    if (control !== null && control.epoch > epoch) throw new StaleEpoch(control.epoch, epoch);
  }

  return {
    async apply(entity, records, under) {
      const outcomes: Outcomes = new Map();
      let items: Item<typeof entity>[] = [];
      records.forEach((record, index) => {
        const outcome = screen(record, under);
        if (outcome === null) items.push({ index, record });
        else outcomes.set(index, outcome);
      });
      items.sort((a, b) => compareStamps(a.record.stamp, b.record.stamp));
      if (items.length > 0) await assertEpoch(under.epoch);
      const attempted = new Set<number>();
      for (let round = 0; items.length > 0; round += 1) {
        if (round === ROUNDS_MAX) throw new StoreUnavailable('mongo', 'unknown', 'contention');
        const [now, later] = firstOfEach(items);
        items = [...(await applyRound(client, entity, now, attempted, outcomes)), ...later];
      }
      // What another instance wrote meanwhile may be a later authority's word.
      if (attempted.size > 0) await assertEpoch(under.epoch);
      const all = records.map((_, index) => outcomes.get(index) ?? null);
      await forgetKept(client, erasedAmong(records, all));
      return records.map((_, index) => outcomes.get(index) ?? { kind: 'refused', reason: 'no-outcome' });
    },
  };
}

/** One state of a record at a time, the older first. */
function firstOfEach<E extends Entity>(items: readonly Item<E>[]): [Item<E>[], Item<E>[]] {
  const seen = new Set<string>();
  const later: Item<E>[] = [];
  const now = items.filter((item) => {
    const isFirst = !seen.has(item.record.id);
    seen.add(item.record.id);
    if (!isFirst) later.push(item);
    return isFirst;
  });
  return [now, later];
}

/** Reads, decides and writes once; the items that have to be looked at again come back. */
async function applyRound<E extends Entity>(
  client: Client,
  entity: E,
  items: readonly Item<E>[],
  attempted: Set<number>,
  outcomes: Outcomes,
): Promise<Item<E>[]> {
  const docs = await readDocuments(
    client,
    entity,
    items.map(({ record }) => record.id),
  );
  const planned: Planned<E>[] = [];
  const unmark: BulkOperation[] = [];
  for (const item of items) {
    const doc = docs.get(item.record.id);
    const plan = planOf(client.codec, entity, doc, item.record);
    if ('operation' in plan) {
      planned.push({ item, operation: plan.operation });
      continue;
    }
    const isOurs = plan.kind === 'same' && attempted.has(item.index);
    outcomes.set(item.index, isOurs ? { kind: 'applied' } : plan);
    if (plan.kind === 'same' && doc !== undefined && markOf(doc) !== null) {
      unmark.push(unmarking(client.codec, entity, doc));
    }
  }
  if (unmark.length > 0) await bulkWrite(client, entity, unmark);
  if (planned.length === 0) return [];
  for (const { item } of planned) attempted.add(item.index);
  const { written, failures } = await bulkWrite(
    client,
    entity,
    planned.map(({ operation }) => operation),
  );
  const again: Item<E>[] = [];
  for (const [place, plan] of planned.entries()) {
    const { item } = plan;
    const failure = failures.get(place);
    const outcome = failure === undefined ? null : await explain(client, entity, plan, failure);
    if (outcome !== null) outcomes.set(item.index, outcome);
    // The driver only counts what was written: unless that is all of it, each is asked for.
    else if (failure === undefined && written === planned.length)
      outcomes.set(item.index, { kind: 'applied' });
    else again.push(item);
  }
  return again;
}

/** What the stored document makes of the record: a write, or an outcome. */
function planOf<E extends Entity>(
  codec: Codec,
  entity: E,
  doc: StoredDoc | undefined,
  record: RecordOf[E],
): ApplyOutcome | Pick<Planned<E>, 'operation'> {
  try {
    if (doc === undefined)
      return { operation: { insertOne: { document: codec.toDocument(entity, record) } } };
    const read = codec.read(entity, doc);
    if ('record' in read) {
      const outcome = judge(read.record, record);
      if (outcome !== null) return outcome;
    } else if (compareStamps(record.stamp, stampOf(doc)) <= 0) {
      return { kind: 'refused', reason: 'unreadable' };
    }
    return { operation: applyOver(codec, entity, doc, record) };
  } catch (error) {
    if (error instanceof UnfaithfulWrite) return { kind: 'refused', reason: error.told };
    // An id that no document can have.
    if (error instanceof TypeError) return { kind: 'refused', reason: 'id' };
    throw error;
  }
}

function unmarking(codec: Codec, entity: Entity, doc: StoredDoc): BulkOperation {
  return {
    updateOne: {
      filter: filterFor(codec, entity, doc, []),
      update: { $unset: { [STORE_FIELDS.pendingAt]: '' } },
    },
  };
}

/** Why this one document was refused; null when it is to be tried again. */
async function explain<E extends Entity>(
  client: Client,
  entity: E,
  { item: { record }, operation }: Planned<E>,
  { code, indexName }: Failure,
): Promise<ApplyOutcome | null> {
  if (code !== DUPLICATE_KEY) return { kind: 'refused', reason: String(code) };
  if (indexName === '_id_') return null;
  if ('emailKey' in record) {
    const holderId = await holderOf(client, record);
    if (holderId !== null) return { kind: 'clash', holderId };
    // Whoever held the key has let it go meanwhile.
    if (indexName === INDEX_NAMES.emailKey) return null;
  }
  // Another applier inserted this very record first, and the server looked at another index before that of the ids.
  if ('insertOne' in operation && (await readDocuments(client, entity, [record.id])).size > 0) return null;
  return { kind: 'refused', reason: `${code} ${indexName ?? ''}`.trimEnd() };
}

/** Another user, by its key first; the old service's index may also have kept two addresses of one spelling apart. */
async function holderOf(client: Client, user: RecordOf['user']): Promise<string | null> {
  for (const [{ text: field }, value] of [
    [pathOf(STORE_FIELDS.emailKey), user.emailKey],
    [client.codec.path('user', 'email'), user.email],
  ] as const) {
    if (value === null) continue;
    const docs = await client.read(({ models, maxTimeMS }) =>
      models.user
        .find({ [field]: { $eq: value } }, { _id: 1 }, { limit: 2, maxTimeMS })
        .lean<StoredDoc[]>()
        .exec(),
    );
    const other = docs.map(idOf).find((id) => id !== null && id !== user.id);
    if (other !== undefined && other !== null) return other;
  }
  return null;
}
