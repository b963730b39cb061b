import { type Doc, markOf, STORE_FIELDS, stampOf } from '../../canonical.ts';
import { decodeId } from '../../ids.ts';
import { ENTITIES, type Entity } from '../../records.ts';
import type { Mark, Marked, Replica } from '../../replica.ts';
import type { Client, Opened } from '../client.ts';
import { MARKED, STAMPED } from '../mark.ts';
import type { StoredDoc } from '../models.ts';
import { type BulkOperation, bulkWrite } from './bulk.ts';
import { idOf } from './documents.ts';

const { pendingAt: PENDING_AT, epoch: EPOCH, version: VERSION } = STORE_FIELDS;
/** One operation may keep every other write to the collection waiting. */
const UNMARKED_AT_ONCE = 10;
const FIELDS = { _id: 1, [PENDING_AT]: 1, [EPOCH]: 1, [VERSION]: 1 };

export function createMarks(client: Client): Pick<Replica, 'marks' | 'countMarks' | 'clearMarks'> {
  async function marksOf(entity: Entity, filter: Doc, limit: number): Promise<readonly Mark[]> {
    const docs = await client.read(({ models, maxTimeMS }) =>
      models[entity]
        .find(filter, FIELDS, { sort: { [PENDING_AT]: 1, _id: 1 }, limit, maxTimeMS })
        .lean<StoredDoc[]>()
        .exec(),
    );
    return docs.flatMap((doc) => {
      const id = idOf(doc);
      const markedAt = markOf(doc);
      return id === null || markedAt === null ? [] : [{ entity, id, stamp: stampOf(doc), markedAt }];
    });
  }

  return {
    async marks({ limit, olderThan, after }) {
      const each = await Promise.all(
        ENTITIES.flatMap((entity) => {
          const bounds = { ...MARKED[PENDING_AT], ...(olderThan === undefined ? {} : { $lte: olderThan }) };
          return pastMark(entity, bounds, after).map((filter) =>
            marksOf(entity, { ...filter, ...STAMPED }, limit),
          );
        }),
      );
      return each.flat().sort(inOrder).slice(0, limit);
    },

    async countMarks() {
      const counts = await Promise.all(
        ENTITIES.map((entity) => client.read((opened) => countMarked(opened, entity))),
      );
      const count = counts.reduce((sum, each) => sum + each, 0);
      // Behind a fence this is asked until it is nothing.
      if (count === 0) return { count, oldestAt: null };
      const oldest = (await Promise.all(ENTITIES.map((entity) => marksOf(entity, MARKED, 1)))).flat();
      return {
        count,
        oldestAt: oldest.sort(inOrder)[0]?.markedAt ?? null,
      };
    },

    async clearMarks(marks) {
      let count = 0;
      for (const entity of ENTITIES) {
        const operations = unmarking(marks.filter((mark) => mark.entity === entity));
        if (operations.length === 0) continue;
        count += (await bulkWrite(client, entity, operations)).modified;
      }
      return count;
    },
  };
}

export function countMarked({ models, maxTimeMS }: Opened, entity: Entity): Promise<number> {
  return models[entity].collection.countDocuments(MARKED, { maxTimeMS });
}

/**
 * One operation for many: a server locks, writes its journal and plans for each. The documents are named by id alone, and the
 * stamps, exact pairs, are compared by the update itself, in the same step as it writes: what was written meanwhile
 * stays marked, and what has no mark stays as it is.
 */
function unmarking(marks: readonly Marked[]): readonly BulkOperation[] {
  const named = marks.flatMap(({ id, stamp }) => {
    const _id = decodeId(id);
    return _id === undefined ? [] : [{ _id, [EPOCH]: stamp.epoch, [VERSION]: stamp.version }];
  });
  return Array.from({ length: Math.ceil(named.length / UNMARKED_AT_ONCE) }, (_, place) => {
    const states = named.slice(place * UNMARKED_AT_ONCE, (place + 1) * UNMARKED_AT_ONCE);
    const stored = { _id: '$_id', [EPOCH]: `$${EPOCH}`, [VERSION]: `$${VERSION}` };
    // Not read as an expression: an id may be text that begins with a dollar.
    const isNamed = { $in: [stored, { $literal: states }] };
    const kept = { $cond: [isNamed, '$$REMOVE', `$${PENDING_AT}`] };
    return {
      updateMany: {
        filter: { _id: { $in: states.map(({ _id }) => _id) } },
        update: [{ $set: { [PENDING_AT]: kept } }],
      },
    };
  });
}

/**
 * Filters for the marks within these bounds that come after another in the order of `marks`. Each is a stretch of the index,
 * with its bounds at the top, where every server looks for them: else it would cost a pass over the collection.
 */
function pastMark(entity: Entity, bounds: Doc, after: Mark | undefined): readonly Doc[] {
  if (after === undefined) return [{ [PENDING_AT]: bounds }];
  const at = after.markedAt;
  const later = { [PENDING_AT]: { ...bounds, $gt: at } };
  const order = ENTITIES.indexOf(entity) - ENTITIES.indexOf(after.entity);
  if (order < 0) return [later];
  const same = { [PENDING_AT]: { ...bounds, $eq: at } };
  return [order > 0 ? same : { ...same, _id: { $gt: decodeId(after.id) } }, later];
}

/** Within one collection the server has put them in order, which a stable sort keeps. */
function inOrder(a: Mark, b: Mark): number {
  return (
    a.markedAt.getTime() - b.markedAt.getTime() || ENTITIES.indexOf(a.entity) - ENTITIES.indexOf(b.entity)
  );
}
