import { randomUUID } from 'node:crypto';
import type mongoose from 'mongoose';
import { assertRaises } from '../../apply.ts';
import type { Doc } from '../../canonical.ts';
import { StoreUnavailable } from '../../errors.ts';
import { decodeId } from '../../ids.ts';
import { compareStamps, type Entity, type RecordOf, type Stamp } from '../../records.ts';
import type { Replica } from '../../replica.ts';
import type { Client, Opened } from '../client.ts';
import { refusedByValidator } from '../errors.ts';
import { ASIDE_COLLECTION } from '../indexes.ts';
import { forgetKept, NOBODY } from '../kept.ts';
import type { StoredDoc } from '../models.ts';
import { filterFor, idOf, releaseUpdate, touchUpdate, type Update } from './documents.ts';
import { readDocuments } from './read.ts';

interface AsideDoc {
  readonly _id: string;
  readonly entity: Entity;
  readonly recordId: string;
  /** The user whose it is; empty: it does not say, or is a user itself. */
  readonly owner: string;
  readonly epoch: number;
  readonly version: number;
  readonly reason: string;
  readonly movedAt: Date;
  /** As it was. */
  readonly document: StoredDoc;
}

/** Each time a foreign writer changed the document without raising its stamp. */
const ATTEMPTS_MAX = 10;
const SESSIONS_BATCH = 200;

type Repair = Pick<Replica, 'touch' | 'moveAside' | 'asides' | 'forgetKept' | 'releaseEmailKey'>;

/** A change of the document as it stands; null: there is nothing left to do. */
type Change<E extends Entity> = (doc: StoredDoc, record: RecordOf[E]) => Update | null;

export function createRepair(client: Client): Repair {
  const { codec } = client;

  /** The document, if it is readable and under this stamp. */
  async function at<E extends Entity>(entity: E, id: string, expected: Stamp) {
    const doc = (await readDocuments(client, entity, [id])).get(id);
    if (doc === undefined) return null;
    const read = codec.read(entity, doc);
    return 'record' in read && compareStamps(read.record.stamp, expected) === 0
      ? { doc, record: read.record }
      : null;
  }

  async function guarded<E extends Entity>(
    entity: E,
    id: string,
    expected: Stamp,
    change: Change<E>,
  ): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const found = await at(entity, id, expected);
      if (found === null) return false;
      const step = change(found.doc, found.record);
      if (step === null) return true;
      const write = client.write(({ models, maxTimeMS }) =>
        models[entity].collection.updateOne(step.filter as never, step.update as never, { maxTimeMS }),
      );
      const { matchedCount } = await write.catch((error: unknown) => {
        throw refusedByValidator(error);
      });
      if (matchedCount === 1) return true;
    }
    throw new StoreUnavailable('mongo', 'none', 'contention');
  }

  /** Of a document that means no record. False also when there is nothing to release, or somebody was quicker. */
  async function releaseUnread(userId: string): Promise<boolean> {
    const doc = (await readDocuments(client, 'user', [userId])).get(userId);
    const step =
      doc === undefined || 'record' in codec.read('user', doc) ? null : releaseUpdate(codec, doc, null);
    if (step === null) return false;
    const { matchedCount } = await client.write(({ models, maxTimeMS }) =>
      models.user.collection.updateOne(step.filter as never, step.update as never, { maxTimeMS }),
    );
    return matchedCount === 1;
  }

  /** Into the log first: a crash in between leaves a second copy, never none. */
  async function move(entity: Entity, doc: StoredDoc, filter: Doc, about: AboutMove): Promise<boolean> {
    const entry: AsideDoc = {
      _id: randomUUID(),
      entity,
      recordId: idOf(doc) ?? '',
      owner: codec.owner(entity, doc) ?? NOBODY,
      ...about.stamp,
      reason: about.reason,
      movedAt: about.now,
      document: doc,
    };
    await client.write((opened) => asideLog(opened).insertOne(entry, { maxTimeMS: opened.maxTimeMS }));
    const { deletedCount } = await client.write(({ models, maxTimeMS }) =>
      models[entity].collection.deleteOne(filter as never, { maxTimeMS }),
    );
    if (deletedCount === 1) return true;
    await client.write((opened) =>
      asideLog(opened).deleteOne({ _id: entry._id }, { maxTimeMS: opened.maxTimeMS }),
    );
    return false;
  }

  async function moveSessions(userId: string, reason: string, now: Date): Promise<void> {
    for (let count = SESSIONS_BATCH; count === SESSIONS_BATCH; ) {
      const docs = await client.read(({ models, maxTimeMS }) =>
        models.session
          .find({ userId: { $eq: decodeId(userId) } }, null, { limit: SESSIONS_BATCH, maxTimeMS })
          .lean<StoredDoc[]>()
          .exec(),
      );
      for (const doc of docs) {
        const read = codec.read('session', doc);
        const stamp = 'record' in read ? read.record.stamp : { epoch: 0, version: 0 };
        await move('session', doc, { _id: { $eq: doc._id } }, { stamp, reason, now });
      }
      count = docs.length;
    }
  }

  return {
    async touch(entity, id, stamps) {
      assertRaises(stamps);
      return guarded(entity, id, stamps.expected, (doc, record) =>
        touchUpdate(codec, entity, doc, record, stamps.to),
      );
    },

    async moveAside(entity, id, { expected, reason, now }) {
      const found = await at(entity, id, expected);
      if (found === null) return false;
      const filter = filterFor(codec, entity, found.doc, []);
      const moved = await move(entity, found.doc, filter, { stamp: expected, reason, now });
      if (moved && entity === 'user') await moveSessions(id, reason, now);
      return moved;
    },

    async asides({ limit }) {
      const docs = await client.read((opened) =>
        asideLog(opened)
          .find({}, { sort: { movedAt: -1 }, limit, maxTimeMS: opened.maxTimeMS })
          .toArray(),
      );
      return docs.map(({ entity, recordId, epoch, version, reason, movedAt }) => ({
        entity,
        id: recordId,
        stamp: { epoch, version },
        reason,
        movedAt,
      }));
    },

    forgetKept: (userIds) => forgetKept(client, userIds),

    releaseEmailKey: (userId, { expected }) =>
      expected === null
        ? releaseUnread(userId)
        : guarded('user', userId, expected, (doc, user) => releaseUpdate(codec, doc, user)),
  };
}

interface AboutMove {
  readonly stamp: Stamp;
  readonly reason: string;
  readonly now: Date;
}

function asideLog({ db }: Opened): mongoose.mongo.Collection<AsideDoc> {
  return db.collection<AsideDoc>(ASIDE_COLLECTION);
}
