/**
 * The control record and what is kept beside it. Bodies are JSON text: opaque here, and free to hold any key. Writes
 * are the client's: majority and journal.
 */
import type mongoose from 'mongoose';
import { compareIds } from '../../ids.ts';
import type { Books, ControlEntry, Json, LeaseEntry, LogEntry } from '../../replica.ts';
import type { Client, Opened } from '../client.ts';
import { duplicateKey } from '../errors.ts';
import { createFirmReads, LATEST } from '../firm-reads.ts';

interface ControlDoc {
  readonly _id: 'control';
  readonly epoch: number;
  readonly revision: number;
  readonly body: string;
}

interface LeaseDoc {
  readonly _id: string;
  readonly counter: number;
  readonly body: string;
}

interface LogDoc {
  readonly _id: string;
  readonly at: Date;
  readonly body: string;
}

interface NoteDoc {
  /** Kind and key, as JSON. */
  readonly _id: string;
  readonly kind: string;
  readonly key: string;
  readonly body: string;
  readonly firstAt: Date;
  readonly lastAt: Date;
  readonly times: number;
}

/** What is no JSON comes back as the text it is, which nobody takes for what it should be. */
function parse(body: string): Json {
  try {
    return JSON.parse(body) as Json;
  } catch {
    return body ?? null;
  }
}
const noteId = (kind: string, key: string): string => JSON.stringify([kind, key]);

export function createBooks(client: Client): Books {
  const firmly = createFirmReads(client.read, LATEST);

  /** False when a document with this `_id` is there. */
  async function insert(write: (opened: Opened) => Promise<unknown>): Promise<boolean> {
    try {
      await client.write(write);
      return true;
    } catch (error) {
      if (duplicateKey(error) === null) throw error;
      return false;
    }
  }

  return {
    async readControl() {
      const doc = await firmly((opened, options) => control(opened).findOne({ _id: 'control' }, options));
      return doc && { epoch: doc.epoch, revision: doc.revision, body: parse(doc.body) };
    },

    createControl: (record) =>
      insert((opened) =>
        control(opened).insertOne(
          { _id: 'control', ...controlFields(record) },
          { maxTimeMS: opened.maxTimeMS },
        ),
      ),

    async replaceControl({ epoch, revision }, next) {
      const { matchedCount } = await client.write((opened) =>
        control(opened).updateOne(
          { _id: 'control', epoch, revision },
          { $set: controlFields(next) },
          { maxTimeMS: opened.maxTimeMS },
        ),
      );
      return matchedCount === 1;
    },

    async writeLease({ instance, counter, body }) {
      // Where the filter fails on a higher counter, the upsert runs into that very document.
      return insert((opened) =>
        leases(opened).updateOne(
          { _id: instance, counter: { $lte: counter } },
          { $set: { counter, body: JSON.stringify(body) } },
          { upsert: true, maxTimeMS: opened.maxTimeMS },
        ),
      );
    },

    async readLeases() {
      const docs = await firmly((opened, options) => leases(opened).find({}, options).toArray());
      return docs
        .map(({ _id, counter, body }): LeaseEntry => ({ instance: _id, counter, body: parse(body) }))
        .sort((a, b) => compareIds(a.instance, b.instance));
    },

    async removeLease(instance, counter) {
      const standing = counter === undefined ? {} : { counter };
      await client.write((opened) =>
        leases(opened).deleteOne({ _id: instance, ...standing }, { maxTimeMS: opened.maxTimeMS }),
      );
    },

    async log({ id, at, body }) {
      await insert((opened) =>
        events(opened).insertOne(
          { _id: id, at, body: JSON.stringify(body) },
          { maxTimeMS: opened.maxTimeMS },
        ),
      );
    },

    async readLog({ limit, after, newestFirst = false }) {
      const [past, way] = newestFirst ? (['$lt', -1] as const) : (['$gt', 1] as const);
      const filter =
        after === undefined
          ? {}
          : { $or: [{ at: { [past]: after.at } }, { at: after.at, _id: { [past]: after.id } }] };
      const docs = await client.read((opened) =>
        events(opened)
          .find(filter, { sort: { at: way, _id: way }, limit, maxTimeMS: opened.maxTimeMS })
          .toArray(),
      );
      return docs.map(({ _id, at, body }): LogEntry => ({ id: _id, at, body: parse(body) }));
    },

    async putNote(kind, key, body, now) {
      const put = (opened: Opened) =>
        notes(opened).updateOne(
          { _id: noteId(kind, key) },
          {
            $set: { body: JSON.stringify(body), lastAt: now },
            $inc: { times: 1 },
            $setOnInsert: { kind, key, firstAt: now },
          },
          { upsert: true, maxTimeMS: opened.maxTimeMS },
        );
      // Two first ones at once: the loser finds the winner's.
      if (!(await insert(put))) await client.write(put);
    },

    async notes(kind, { limit }) {
      const docs = await client.read((opened) =>
        notes(opened)
          .find({ kind: { $eq: kind } }, { sort: { firstAt: 1, key: 1 }, limit, maxTimeMS: opened.maxTimeMS })
          .toArray(),
      );
      return docs.map(({ key, body, firstAt, lastAt, times }) => ({
        key,
        body: parse(body),
        firstAt,
        lastAt,
        times,
      }));
    },

    async deleteNote(kind, key, timesMax) {
      const bound = timesMax === undefined ? {} : { times: { $lte: timesMax } };
      const { deletedCount } = await client.write((opened) =>
        notes(opened).deleteOne({ _id: noteId(kind, key), ...bound }, { maxTimeMS: opened.maxTimeMS }),
      );
      return deletedCount === 1;
    },

    countNotes: () => client.read(countNotes),
  };
}

export async function countNotes(opened: Opened): Promise<Readonly<Record<string, number>>> {
  const groups = await notes(opened)
    .aggregate<{ readonly _id: string; readonly count: number }>(
      [{ $group: { _id: '$kind', count: { $sum: 1 } } }],
      { maxTimeMS: opened.maxTimeMS },
    )
    .toArray();
  return Object.fromEntries(groups.map(({ _id, count }) => [_id, count]));
}

function controlFields({ epoch, revision, body }: ControlEntry): Omit<ControlDoc, '_id'> {
  return { epoch, revision, body: JSON.stringify(body) };
}

type Collection<T extends { readonly _id: unknown }> = mongoose.mongo.Collection<T>;

const control = ({ db }: Opened): Collection<ControlDoc> => db.collection('cutover_control');
const leases = ({ db }: Opened): Collection<LeaseDoc> => db.collection('cutover_leases');
const events = ({ db }: Opened): Collection<LogDoc> => db.collection('cutover_log');
const notes = ({ db }: Opened): Collection<NoteDoc> => db.collection('cutover_notes');
