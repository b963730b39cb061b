import { type Doc, markOf, STORE_FIELDS, stampOf } from '../../canonical.ts';
import { decodeId, decodeIds } from '../../ids.ts';
import { ENTITIES, type Entity } from '../../records.ts';
import type { Mark, Marked, Replica } from '../../replica.ts';
import type { Client, Opened } from '../client.ts';
import { MARKED, STAMPED } from '../mark.ts';
import type { StoredDoc } from '../models.ts';
import { type BulkOperation, bulkWrite } from './bulk.ts';
import { idOf } from './documents.ts';

const { pendingAt: PENDING_AT, epoch: EPOCH, version: VERSION } = STORE_FIELDS;
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
        count += (await bulkWrite(client, entity, operations)).written;
      }
      return count;
    },
  };
}

export function countMarked({ models, maxTimeMS }: Opened, entity: Entity): Promise<number> {
  return models[entity].collection.countDocuments(MARKED, { maxTimeMS });
}

/** One operation for all that have the same stamp, as most of a batch do: a server plans and locks for each operation. */
function unmarking(marks: readonly Marked[]): readonly BulkOperation[] {
  const byStamp = Map.groupBy(marks, ({ stamp }) => `${stamp.epoch}/${stamp.version}`);
  return [...byStamp.values()].flatMap((alike) =>
    alike.slice(0, 1).map(({ stamp }) => ({
      updateMany: {
        filter: { _id: { $in: decodeIds(alike.map(({ id }) => id)) }, ...MARKED, ...stampFilter(stamp) },
        update: { $unset: { [PENDING_AT]: '' } },
      },
    })),
  );
}

/** What is marked was written by this service, so its stamp is stored as such. */
function stampFilter(stamp: Mark['stamp']): Doc {
  return { [EPOCH]: { $eq: stamp.epoch }, [VERSION]: { $eq: stamp.version } };
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
