/**
 * The background pass that gives legacy documents their `emailKey`. It keeps no checkpoint: what has no key is what is
 * left. Any number of instances may run it at once, and it may be stopped anywhere. Records do not change by it, so
 * neither do their stamps.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Doc, pathOf, STORE_FIELDS } from '../canonical.ts';
import { StoreUnavailable } from '../errors.ts';
import type { UserRecord } from '../records.ts';
import type { Client } from './client.ts';
import { compareAge } from './emails.ts';
import { duplicateKey } from './errors.ts';
import { guard } from './guard.ts';
import { INDEX_NAMES } from './indexes.ts';
import type { StoredDoc } from './models.ts';

export interface EmailKeyPass {
  /** Starts the pass, or lets a running one look once more when it has finished. */
  kick(): void;
  /** Resolves when no document without a key is left, or the pass was stopped. */
  whenDone(): Promise<void>;
  stop(): Promise<void>;
}

/** Large: there are servers that gather everything that matches for the sake of a few. */
const BATCH_MAX = 2_000;
/** Between two attempts while the server is away or not yet migrated. */
const RETRY_MS = 1000;
/** Swaps between accounts of one key; each makes the holder an older one. */
const SWAPS_MAX = 20;

const { emailKey: KEY, emailKeyDuplicate: DUPLICATE } = STORE_FIELDS;

export function createEmailKeyPass(client: Client, report: (line: string) => void): EmailKeyPass {
  const stopping = new AbortController();
  let running: Promise<void> | null = null;
  let again = false;

  async function run(): Promise<void> {
    let total = 0;
    while (!stopping.signal.aborted) {
      try {
        const count = await keyBatch(client, stopping.signal);
        if (count === null) await pause(stopping.signal);
        else if (count > 0) total += count;
        else if (again) again = false;
        else break;
      } catch {
        // The store's trouble is the requests' to report; the pass only outlasts it.
        await pause(stopping.signal);
      }
    }
    if (!stopping.signal.aborted && total > 0) report(`e-mail keys: done, ${total} legacy users`);
  }

  return {
    kick() {
      if (stopping.signal.aborted) return;
      again = running !== null;
      running ??= run().finally(() => {
        running = null;
      });
    },
    whenDone: () => running ?? Promise.resolve(),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function pause(signal: AbortSignal): Promise<void> {
  return delay(RETRY_MS, undefined, { signal, ref: false }).catch(() => {});
}

/** How many documents were seen to; null when the indexes are not there yet, without which keys would not be unique. */
async function keyBatch(client: Client, signal: AbortSignal): Promise<number | null> {
  // So many whole documents may not fit into memory: nobody limits what an old service keeps in its users.
  const projection = Object.fromEntries(client.codec.tops('user').map((field) => [field, 1]));
  const docs = await client.read(async ({ models, maxTimeMS }) => {
    const indexes = await models.user.collection.listIndexes({ maxTimeMS }).toArray();
    const names = new Set(indexes.map((index) => index.name));
    if (!names.has(INDEX_NAMES.emailKey) || !names.has(INDEX_NAMES.unkeyed)) return null;
    return models.user
      .find({ [KEY]: null }, projection, { limit: BATCH_MAX, maxTimeMS })
      .lean<StoredDoc[]>()
      .exec();
  });
  if (docs === null) return null;
  let done = 0;
  for (const doc of docs) {
    if (signal.aborted) break;
    try {
      await keyDocument(client, doc);
      done += 1;
    } catch (error) {
      // One that the server refuses to change (a validator of the old service's, its size) keeps no others waiting.
      if (error instanceof StoreUnavailable) throw error;
    }
  }
  return done;
}

async function keyDocument(client: Client, doc: StoredDoc): Promise<void> {
  const canonical = client.codec.read('user', doc);
  const user = 'record' in canonical ? canonical.record : null;
  if (user === null || user.emailKey === null) {
    await mark(client, doc, { [KEY]: false });
    return;
  }
  for (let swap = 0; swap < SWAPS_MAX; swap += 1) {
    if (await takeKey(client, doc, user.emailKey)) return;
    const holder = await keyHolder(client, user.emailKey);
    if (holder === null) continue;
    if (compareAge(user, holder.user) > 0) {
      await mark(client, doc, { [KEY]: false, [DUPLICATE]: user.emailKey });
      return;
    }
    // While neither holds it, the older one still comes first: it has no key yet.
    await mark(client, holder.doc, { [KEY]: false, [DUPLICATE]: user.emailKey });
  }
}

/** False when another document holds the key. */
async function takeKey(client: Client, doc: StoredDoc, key: string): Promise<boolean> {
  try {
    await mark(client, doc, { [KEY]: key });
    return true;
  } catch (error) {
    if (duplicateKey(error) === null) throw error;
    return false;
  }
}

async function keyHolder(
  client: Client,
  key: string,
): Promise<{ readonly doc: StoredDoc; readonly user: UserRecord } | null> {
  const doc = await client.read(({ models, maxTimeMS }) =>
    models.user
      .findOne({ [KEY]: { $eq: key } }, null, { maxTimeMS })
      .lean<StoredDoc>()
      .exec(),
  );
  if (doc === null) return null;
  const canonical = client.codec.read('user', doc);
  if ('record' in canonical && canonical.record.emailKey === key) return { doc, user: canonical.record };
  await dropKey(client, doc);
  return null;
}

/** Takes a key away that its document no longer answers to, so that the pass looks at it again. */
export async function dropKey(client: Client, doc: StoredDoc): Promise<void> {
  await update(client, doc, { $unset: { [KEY]: '', [DUPLICATE]: '' } });
}

async function mark(client: Client, doc: StoredDoc, fields: Doc): Promise<void> {
  await update(client, doc, { $set: fields });
}

const guardedPaths = ({ codec }: Client) => [
  pathOf(KEY),
  codec.path('user', 'email'),
  codec.path('user', 'deletedAt'),
];

/** Only while key and e-mail are as they were read: another instance, or the old service, may be at it too. */
async function update(client: Client, doc: StoredDoc, change: Doc): Promise<void> {
  const filter = { _id: { $eq: doc._id }, ...guard(doc, guardedPaths(client)) };
  await client.write(({ models, maxTimeMS }) =>
    models.user.collection.updateOne(filter as never, change as never, { maxTimeMS }),
  );
}
