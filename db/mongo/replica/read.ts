import { type Doc, markOf } from '../../canonical.ts';
import { decodeIds } from '../../ids.ts';
import type { Entity } from '../../records.ts';
import type { Held, Looked, Replica } from '../../replica.ts';
import type { Client } from '../client.ts';
import type { StoredDoc } from '../models.ts';
import { idOf } from './documents.ts';

/** MongoDB's order of `_id`s, type by type: a comparison only ever finds values of its own type. */
const TYPES = [
  'minKey',
  'null',
  'number',
  'string',
  'object',
  'binData',
  'objectId',
  'bool',
  'date',
  'timestamp',
  'maxKey',
] as const;

export function createReads(client: Client): Pick<Replica, 'read' | 'scan' | 'holdsUsers'> {
  return {
    async read<E extends Entity>(entity: E, ids: readonly string[]): Promise<Looked<E>> {
      const docs = await readDocuments(client, entity, ids);
      const found = new Map<string, Held<E>>();
      const unreadable: string[] = [];
      for (const [id, doc] of docs) {
        const read = client.codec.read(entity, doc);
        if ('record' in read) found.set(id, { record: read.record, pendingAt: markOf(doc) });
        else unreadable.push(id);
      }
      return { found, unreadable };
    },

    async scan(entity, { after, limit }) {
      const filter = after === null ? {} : pastId(decodeIds([after])[0]);
      const docs = await client.readCommitted(({ models }, firm) =>
        models[entity]
          .find(filter, null, { sort: { _id: 1 }, limit, ...firm })
          .lean<StoredDoc[]>()
          .exec(),
      );
      const reads = docs.map((doc) => ({ doc, read: client.codec.read(entity, doc) }));
      const last = docs.at(-1);
      return {
        records: reads.flatMap(({ read }) => ('record' in read ? [read.record] : [])),
        unreadable: reads.flatMap(({ doc, read }) => ('record' in read ? [] : [idOf(doc) ?? ''])),
        next: last === undefined || docs.length < limit ? null : idOf(last),
      };
    },

    async holdsUsers() {
      const doc = await client.read(({ models, maxTimeMS }) =>
        models.user.findOne({}, { _id: 1 }, { maxTimeMS }).lean<StoredDoc>().exec(),
      );
      return doc !== null;
    },
  };
}

/** The documents with these ids, by id. */
export async function readDocuments(
  client: Client,
  entity: Entity,
  ids: readonly string[],
): Promise<ReadonlyMap<string, StoredDoc>> {
  const _ids = decodeIds(ids);
  if (_ids.length === 0) return new Map();
  const docs = await client.readCommitted(({ models }, firm) =>
    models[entity]
      .find({ _id: { $in: [..._ids] } }, null, firm)
      .lean<StoredDoc[]>()
      .exec(),
  );
  return new Map(docs.map((doc) => [idOf(doc) ?? '', doc]));
}

function pastId(_id: unknown): Doc {
  const later = TYPES.slice(TYPES.indexOf(typeOf(_id)) + 1);
  const same = { _id: { $gt: _id } };
  // A list without a type is an error.
  return later.length === 0 ? same : { $or: [same, { _id: { $type: later } }] };
}

function typeOf(value: unknown): (typeof TYPES)[number] {
  if (value === null) return 'null';
  if (value instanceof Date) return 'date';
  if (ArrayBuffer.isView(value)) return 'binData';
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 'number';
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    default:
      return typeOfObject(value as { readonly _bsontype?: unknown });
  }
}

function typeOfObject(value: { readonly _bsontype?: unknown }): (typeof TYPES)[number] {
  switch (value._bsontype) {
    case 'ObjectId':
      return 'objectId';
    case 'Binary':
      return 'binData';
    case 'Timestamp':
      return 'timestamp';
    case 'Int32':
    case 'Double':
    case 'Long':
    case 'Decimal128':
      return 'number';
    case 'MinKey':
      return 'minKey';
    case 'MaxKey':
      return 'maxKey';
    default:
      return 'object';
  }
}
