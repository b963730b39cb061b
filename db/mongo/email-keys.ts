/**
 * The background pass that gives legacy documents their `emailKey`. It keeps no checkpoint: what has no key is what is
 * left. Any number of instances may run it at once, and it may be stopped anywhere. Records do not change by it, so
 * neither do their stamps.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Doc, pathOf, STORE_FIELDS } from '../canonical.ts';
import { StoreUnavailable } from '../errors.ts';
import type { UserRecord } from '../records.ts';
import { takeBuffered } from './buffered.ts';
import { builtIndexes } from './built-indexes.ts';
import type { Client } from './client.ts';
import { toRaw } from './copy/raw-document.ts';
import { compareAge } from './emails.ts';
import { duplicateKey } from './errors.ts';
import { guard } from './guard.ts';
import { INDEX_NAMES } from './indexes.ts';
import type { StoredDoc } from './models.ts';

export interface EmailKeyPass {
  /** Starts the pass, or lets a running one look once more when it has finished. */
  kick(): void;
  /** Resolves when no document is left without a key but those that the server refuses to change, or the pass was stopped. */
  whenDone(): Promise<void>;
  stop(): Promise<void>;
}

/** Documents of one answer: nobody limits what an old service keeps of its users. */
const BATCH = 500;
/** Between two attempts while the server is away, not yet migrated, or fenced. */
const RETRY_MS = 1000;
/** Each look-up wants the pass while a document is without a key, and one that the server refuses to change stays so. */
const REST_MS = 60_000;
/** Of a document that changes under the pass. */
const TRIES_MAX = 3;
/** Swaps between accounts of one key; each makes the holder an older one. */
const SWAPS_MAX = 20;

const { emailKey: KEY, emailKeyDuplicate: DUPLICATE } = STORE_FIELDS;

/** `isFenced`: whether nothing may be written to this store. */
export function createEmailKeyPass(
  client: Client,
  isFenced: () => Promise<boolean>,
  report: (line: string) => void,
): EmailKeyPass {
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> | null = null;
  let again = false;
  let restsUntilMs = Number.NEGATIVE_INFINITY;
  let told = 0;

  async function run(): Promise<void> {
    let total = 0;
    while (!signal.aborted) {
      again = false;
      const round = await keyAll(client, isFenced, signal).catch(
        // The store's trouble is the requests' to report; the pass only outlasts it.
        () => null,
      );
      total += round?.keyed ?? 0;
      if (signal.aborted) return;
      if (round === null) await pause(signal);
      else if (round.passedOver > 0 || (round.keyed === 0 && round.lost > 0)) {
        restsUntilMs = performance.now() + REST_MS;
        tell(round);
        break;
      } else if (round.keyed === 0 && !again) break;
    }
    if (total > 0) report(`e-mail keys: done, ${total} legacy users`);
  }

  function tell({ passedOver, why }: Round): void {
    if (passedOver === 0 || passedOver === told) return;
    told = passedOver;
    const users = client.codec.collections.user;
    report(
      `e-mail keys: ${passedOver} legacy users passed over, the first because ${why}: db.${users}.find({ ${KEY}: null }) finds them`,
    );
  }

  return {
    kick() {
      if (signal.aborted || (running === null && performance.now() < restsUntilMs)) return;
      again = true;
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

/** What became of the documents that had no key. */
interface Round {
  readonly keyed: number;
  /** As they are, they cannot be given one. */
  readonly passedOver: number;
  /** Why the first of these cannot; null: there is none. */
  readonly why: string | null;
  /** Others have changed them meanwhile. */
  readonly lost: number;
}

/**
 * One look at all documents without a key. Null when it cannot go on for now: the indexes are not there yet, without which
 * keys would not be unique, or nothing may be written. One cursor, because what is refused stays where it is, and there are
 * servers that gather everything that matches for each question.
 */
async function keyAll(
  client: Client,
  isFenced: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<Round | null> {
  if (await isFenced()) return null;
  const cursor = await client.read(async ({ db, models, maxTimeMS }) => {
    const indexes = await builtIndexes(db, client.codec.collections.user, maxTimeMS);
    const names = new Set(indexes.map((index) => index.name));
    if (!names.has(INDEX_NAMES.emailKey) || !names.has(INDEX_NAMES.unkeyed)) return null;
    // Bounded answer by answer, by the socket: a server counts `maxTimeMS` over all of them.
    const options = { projection: fieldsOf(client), batchSize: BATCH, raw: true };
    return models.user.collection.find({ [KEY]: null }, options);
  });
  if (cursor === null) return null;
  const round = { keyed: 0, passedOver: 0, lost: 0 };
  let why: string | null = null;
  try {
    while (!signal.aborted && (await client.read(() => cursor.hasNext()))) {
      if (await isFenced()) return null;
      for (const bytes of takeBuffered(cursor)) {
        if (signal.aborted) break;
        const { doc } = toRaw(bytes);
        const end = doc === null ? UNREADABLE : await tryDocument(client, doc as StoredDoc);
        round[typeof end === 'string' ? end : 'passedOver'] += 1;
        if (typeof end !== 'string') why ??= end.why;
      }
    }
    return { ...round, why };
  } finally {
    await cursor.close().catch(() => {});
  }
}

/** So many whole documents may not fit into memory. */
const fieldsOf = ({ codec }: Client): Doc =>
  Object.fromEntries(codec.tops('user').map((field) => [field, 1]));

interface PassedOver {
  readonly why: string;
}

const UNREADABLE: PassedOver = { why: 'its bytes cannot be read' };
const RESTLESS: PassedOver = { why: 'it is changed again and again meanwhile' };

async function tryDocument(client: Client, doc: StoredDoc): Promise<'keyed' | 'lost' | PassedOver> {
  try {
    let left: StoredDoc | null = doc;
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      if (await keyDocument(client, left)) return 'keyed';
      left = await stillUnkeyed(client, doc);
      if (left === null) return 'lost';
    }
    return RESTLESS;
  } catch (error) {
    // One that the server refuses to change (a validator of the old service's, its size) keeps no others waiting.
    if (error instanceof StoreUnavailable) throw error;
    return { why: `of ${kindOf(error)}` };
  }
}

/** A server's message may quote the document. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'an error of no kind';
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'number' ? `${error.name} ${code}` : error.name;
}

async function stillUnkeyed(client: Client, { _id }: StoredDoc): Promise<StoredDoc | null> {
  const doc = await client.read(({ models, maxTimeMS }) =>
    models.user.collection.findOne({ _id: { $eq: _id } } as never, {
      projection: fieldsOf(client),
      maxTimeMS,
    }),
  );
  return doc !== null && (doc[KEY] ?? null) === null ? (doc as StoredDoc) : null;
}

/** False when it is not as it was read. */
async function keyDocument(client: Client, doc: StoredDoc): Promise<boolean> {
  const canonical = client.codec.read('user', doc);
  const user = 'record' in canonical ? canonical.record : null;
  if (user === null || user.emailKey === null) return mark(client, doc, { [KEY]: false });
  for (let swap = 0; swap < SWAPS_MAX; swap += 1) {
    const taken = await takeKey(client, doc, user.emailKey);
    if (taken !== null) return taken;
    const holder = await keyHolder(client, user.emailKey);
    if (holder === null) continue;
    if (compareAge(user, holder.user) > 0) {
      return mark(client, doc, { [KEY]: false, [DUPLICATE]: user.emailKey });
    }
    // While neither holds it, the older one still comes first: it has no key yet.
    await mark(client, holder.doc, { [KEY]: false, [DUPLICATE]: user.emailKey });
  }
  return false;
}

/** As `keyDocument`; null when another document holds the key. */
async function takeKey(client: Client, doc: StoredDoc, key: string): Promise<boolean | null> {
  try {
    return await mark(client, doc, { [KEY]: key });
  } catch (error) {
    if (duplicateKey(error) === null) throw error;
    return null;
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

function mark(client: Client, doc: StoredDoc, fields: Doc): Promise<boolean> {
  return update(client, doc, { $set: fields });
}

const guardedPaths = ({ codec }: Client) => [
  pathOf(KEY),
  codec.path('user', 'email'),
  codec.path('user', 'deletedAt'),
];

/** Only while key and e-mail are as they were read: another instance, or the old service, may be at it too. */
async function update(client: Client, doc: StoredDoc, change: Doc): Promise<boolean> {
  const filter = { _id: { $eq: doc._id }, ...guard(doc, guardedPaths(client)) };
  const { matchedCount } = await client.write(({ models, maxTimeMS }) =>
    models.user.collection.updateOne(filter as never, change as never, { maxTimeMS }),
  );
  return matchedCount > 0;
}
