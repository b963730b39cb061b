/** MongoDB's change stream, on a connection of its own: it waits for the server most of the time. */
import mongoose from 'mongoose';
import type { Codec } from '../../canonical.ts';
import {
  type ChangeBatch,
  type ChangeCursor,
  type ChangeFeed,
  FeedEnded,
  type ForeignChange,
} from '../../changes.ts';
import { encodeId } from '../../ids.ts';
import { ENTITIES, type Entity } from '../../records.ts';
import { type Client, type ClientOptions, createClient, type Opened } from '../client.ts';
import { toStoreError } from '../errors.ts';
import { foreignChanges, WIPES } from './pipeline.ts';
import { createWatchBook } from './watch-book.ts';

const BATCH_MAX = 500;
/** How long the server waits for a change before it says that there is none; within the limit on any answer. */
const AWAIT_MAX_MS = 1_000;

/**
 * The place to go on from is gone: fallen out of the oplog (ChangeStreamHistoryLost and its older names), not
 * understood, of another server, or behind an event that is too large or fatal.
 */
const LOST = new Set([9, 222, 234, 260, 280, 286, 10334, 40576, 40585, 40649, 50811]);
/** A standalone, a server that has no such stage, a user who may not ask for it. */
const UNSUPPORTED = new Set([13, 59, 115, 238, 303, 40324, 40573, 8000]);

interface Event {
  readonly operationType: string;
  readonly ns?: { readonly coll?: string };
  readonly documentKey?: { readonly _id: unknown };
}

export function createChangeFeed(
  client: Client,
  options: ClientOptions,
): ChangeFeed & { close(): Promise<void> } {
  /** Opened with the first stream. */
  let own: Client | null = null;

  return {
    ...createWatchBook(client),
    async open(after) {
      own ??= createClient({ ...options, poolMax: 1 });
      return own.read((opened) => openCursor(opened, options.codec, after));
    },
    async close() {
      await own?.close();
    },
  };
}

async function openCursor(
  { db, maxTimeMS }: Opened,
  codec: Codec,
  after: string | null,
): Promise<ChangeCursor> {
  const { setName, msg } = await db.admin().command({ hello: 1 });
  if (setName === undefined && msg !== 'isdbgrid') {
    throw new FeedEnded('unsupported', 'a standalone server has no change stream');
  }
  const stream = db.watch(foreignChanges(codec), {
    batchSize: BATCH_MAX,
    maxAwaitTimeMS: Math.min(AWAIT_MAX_MS, Math.floor(maxTimeMS / 2)),
    // Unlike `resumeAfter` it also goes on behind an invalidation.
    ...(after === null ? {} : { startAfter: parseToken(after) }),
  });
  return {
    next: () => nextBatch(stream as unknown as Stream, codec),
    close: () => stream.close(),
  };
}

interface Stream {
  readonly resumeToken: unknown;
  tryNext(): Promise<Event | null>;
}

async function nextBatch(stream: Stream, codec: Codec): Promise<ChangeBatch> {
  const changes: ForeignChange[] = [];
  let [wiped, drained] = [false, false];
  try {
    while (!drained && changes.length < BATCH_MAX) {
      const event = await stream.tryNext();
      if (event === null) drained = true;
      else if (WIPES.has(event.operationType)) wiped = true;
      else changes.push(...changeOf(event, codec));
      if (event?.operationType === 'invalidate') break;
    }
  } catch (error) {
    // Everything that was read goes once more: the token is that of the last whole batch.
    throw toStoreError(feedError(error), 'read');
  }
  return { changes, wiped, drained, token: stream.resumeToken ? JSON.stringify(stream.resumeToken) : null };
}

function changeOf(
  { operationType, ns, documentKey }: Event,
  { collections }: Codec,
): readonly ForeignChange[] {
  const entity = ENTITIES.find((each: Entity) => collections[each] === ns?.coll);
  if (entity === undefined) return [];
  return [{ kind: operationType as ForeignChange['kind'], entity, id: idOf(documentKey?._id) }];
}

function idOf(_id: unknown): string | null {
  try {
    return encodeId(_id);
  } catch {
    return null;
  }
}

function parseToken(token: string): object {
  try {
    const parsed: unknown = JSON.parse(token);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Told below.
  }
  throw new FeedEnded('lost', 'the place to go on from cannot be read');
}

/** By code; everything else is trouble that passes. */
function feedError(error: unknown): unknown {
  if (!(error instanceof mongoose.mongo.MongoServerError)) return error;
  const code = Number(error.code);
  const options = { cause: error };
  if (UNSUPPORTED.has(code)) return new FeedEnded('unsupported', `the server refuses it (${code})`, options);
  if (LOST.has(code)) return new FeedEnded('lost', `the server cannot go on from there (${code})`, options);
  return error;
}
