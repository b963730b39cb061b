/**
 * One range of a verify. Ranges whose hashes are equal are done; in the others records are told apart one by one. MongoDB
 * is read through the canonical function, PostgreSQL hashes its own rows.
 */
import { ObjectId } from 'bson';
import { z } from 'zod';
import { isExpired } from '../../db/apply.ts';
import type { Codec, Doc } from '../../db/canonical.ts';
import { STORES } from '../../db/errors.ts';
import { decodeIds, encodeId } from '../../db/ids.ts';
import { unpackValue } from '../../db/mongo/copy/client.ts';
import type { IdRange } from '../../db/mongo/copy/ranges.ts';
import { isNameless, type RawDocument } from '../../db/mongo/copy/raw-document.ts';
import { eachRaw, scanRange } from '../../db/mongo/copy/scan.ts';
import {
  digestRange,
  type HexRange,
  type RowFilter,
  rowsById,
  rowsInRange,
  sweepRows,
} from '../../db/postgres/copy/fingerprint.ts';
import type { RunRow } from '../../db/postgres/copy/runs.ts';
import type { Entity } from '../../db/records.ts';
import { underWay } from '../../db/under-way.ts';
import type { Counts } from './classify.ts';
import { digestOf, isSampled, textOf } from './fingerprint.ts';
import type { Pace } from './pace.ts';
import { type Difference, settle } from './settle.ts';
import { CopyRefused, type CopyScope, type RecordName } from './types.ts';

/** So much is compared again, at most, when a worker dies. */
const STRETCH_DOCUMENTS_MAX = 20_000;
const SWEEP_ROWS = 1_000;

/** What a verify remembers besides its ranges. */
const verifyBody = z.object({
  /** The history of PostgreSQL when it began; null: it did not say, or an older version began. */
  history: z.string().nullable().default(null),
  what: z.union([z.literal('full'), z.object({ sinceMs: z.number() }), z.object({ share: z.number() })]),
  authority: z.enum(STORES),
  mapping: z.string(),
  /** The run whose copy it looks at; null: of none that was complete when it began. */
  copy: z.string().nullable().default(null),
});
export type VerifyBody = z.infer<typeof verifyBody>;

export function parseVerify({ id, body }: Pick<RunRow, 'id' | 'body'>): VerifyBody {
  const parsed = verifyBody.safeParse(body);
  if (!parsed.success) throw new CopyRefused('unknown-state', `verify ${id} was written by another version`);
  return parsed.data;
}

/** Documents of a range of `_id`, or rows that no such range finds. */
export type Bounds =
  | {
      readonly kind: 'documents';
      readonly range: IdRange;
      /** ObjectIds up to this one are compared already, where types mix. */
      readonly hashed?: string | null;
    }
  | { readonly kind: 'rows'; readonly after: string };

export interface Context {
  readonly run: string;
  readonly body: VerifyBody;
  readonly pace: Pace;
  readonly jobs: number;
  readonly expiredBefore: Date;
}

/** What one range comes to. */
export interface Tally {
  readonly counts: Counts;
  readonly differences: Difference[];
  /** Those that could not be compared yet. */
  readonly lagging: RecordName[];
}

/** Compares a range a stretch at a time, with one cursor all along: a server may have to look far for a second one. */
export interface Comparison {
  /** Compares the next stretch into the tally. What is left of the range, null when nothing is. */
  next(tally: Tally): Promise<Bounds | null>;
  close(): Promise<void>;
}

export function createComparison(
  scope: CopyScope,
  entity: Entity,
  bounds: Bounds,
  context: Context,
): Comparison {
  return bounds.kind === 'rows'
    ? ofRows(scope, entity, bounds.after, context)
    : ofDocuments(scope, entity, bounds, context);
}

function ofDocuments(
  scope: CopyScope,
  entity: Entity,
  { range, hashed = null }: Extract<Bounds, { readonly kind: 'documents' }>,
  context: Context,
): Comparison {
  const { pace, body } = context;
  const isHashed = body.what === 'full' && (range.type === 'objectId' || range.type === 'any');
  const where =
    typeof body.what === 'object' && 'sinceMs' in body.what
      ? sinceFilter(scope.mongo.codec, entity, body.what.sinceMs)
      : undefined;
  const options = { batchMax: pace.batchMax(), ...(where === undefined ? {} : { where }) };
  const batches = scanRange(scope.mongo, entity, range, options);
  let after = range.type === 'any' ? hashed : hexOf(range.after);

  /** Asks PostgreSQL before it works on the documents itself; several may be under way. */
  async function compare(documents: readonly RawDocument[], tally: Tally): Promise<void> {
    if (!isHashed) return compareById(scope, entity, documents, context, tally);
    const own = documents.filter(({ id }) => isHex(id));
    // No ObjectIds, or nothing that can be decoded.
    const others = own.length === documents.length ? [] : documents.filter(({ id }) => !isHex(id));
    const between = { after, upTo: own.at(-1)?.id ?? after };
    after = between.upTo;
    await Promise.all([
      own.length > 0 && compareHashed(scope, entity, between, own, context, tally),
      others.length > 0 && compareById(scope, entity, others, context, tally),
    ]);
  }

  return {
    async next(tally) {
      // One batch is hashed by PostgreSQL while the next one is read and hashed here.
      let before: Promise<void> = Promise.resolve();
      for (let done = 0; ; ) {
        const { value, done: isLast } = await batches.next();
        if (isLast === true) break;
        const { documents, cut } = value;
        const current = compare(documents, tally);
        current.catch(() => {});
        await before;
        before = current;
        done += documents.length;
        await pace.take(documents.length);
        if (cut !== null && (done >= STRETCH_DOCUMENTS_MAX || (await pace.paused()))) {
          await before;
          return { kind: 'documents', range: { ...range, after: cut }, hashed: after };
        }
      }
      await before;
      // Behind the last document there may still be rows.
      if (isHashed)
        await compareHashed(scope, entity, { after, upTo: hexOf(range.upTo) }, [], context, tally);
      return null;
    },
    async close() {
      await batches.return(undefined);
    },
  };
}

const isHex = (id: string): boolean => /^[0-9a-f]{24}$/.test(id);

function hexOf(packed: string | null): string | null {
  return packed === null ? null : encodeId(unpackValue(packed));
}

/** Numbers below are seconds, others milliseconds. */
const SECONDS_MAX = 1e11;
/** Times that no query can compare with one: the reader tells. */
const OTHER_TIMES = ['string', 'object', 'array', 'timestamp'];

/**
 * What a document may have been written since, wherever and however it says so: others write times in other places, and
 * as other types, than this service does. Too many cost time, too few a difference.
 */
function sinceFilter(codec: Codec, entity: Entity, sinceMs: number): Doc {
  const since = new Date(sinceMs);
  const inSeconds = Math.floor(sinceMs / 1_000);
  const placesOf = (field: 'createdAt' | 'updatedAt' | 'deletedAt') =>
    codec.sources(entity, codec.path(entity, field)).map(({ text }) => text);
  const created = placesOf('createdAt');
  const places = [...created, ...placesOf('updatedAt'), ...placesOf('deletedAt'), 'rotatedAt', 'revokedAt'];
  const clauses = [...new Set(places)].flatMap((path): readonly Doc[] => [
    { [path]: { $gte: since } },
    { [path]: { $gte: sinceMs } },
    { [path]: { $gte: inSeconds, $lt: SECONDS_MAX } },
    { [path]: { $type: OTHER_TIMES } },
    // A deletion that does not say when.
    { [path]: true },
  ]);
  // Without any, the time is that of the id.
  const undated = Object.fromEntries(created.map((path) => [path, null]));
  return { $or: [{ _id: { $gte: ObjectId.createFromTime(inSeconds) }, ...undated }, ...clauses] };
}

interface Text {
  readonly id: string;
  /** Null: the document means no record. */
  readonly text: string | null;
}

/** The documents that are to be compared, as text. */
function textsOf(
  codec: Codec,
  entity: Entity,
  documents: readonly RawDocument[],
  { body, expiredBefore }: Context,
): readonly Text[] {
  const share = typeof body.what === 'object' && 'share' in body.what ? body.what.share : 1;
  return documents.flatMap(({ id, doc }): Text[] => {
    if (!isSampled(id, share)) return [];
    const read = doc === null || isNameless(id) ? null : codec.read(entity, doc);
    if (read === null || 'bad' in read) return [{ id, text: null }];
    return isExpired(read.record, expiredBefore) ? [] : [{ id, text: textOf(entity, read.record) }];
  });
}

async function compareHashed(
  scope: CopyScope,
  entity: Entity,
  range: HexRange,
  documents: readonly RawDocument[],
  context: Context,
  tally: Tally,
): Promise<void> {
  // One more than there may be: a range that holds more than its documents differs, however many they are.
  const limit = documents.length + 1;
  const options = { expiredBefore: context.expiredBefore, limit };
  const theirDigest = await underWay(digestRange(scope.postgres, entity, range, options));
  const texts = textsOf(scope.mongo.codec, entity, documents, context);
  tally.counts.add('compared', texts.length);
  const ours = digestOf(texts.flatMap(({ text }) => (text === null ? [] : [text])));
  const theirs = await theirDigest();
  const isWhole = ours.count === texts.length;
  if (isWhole && ours.count === theirs.count && ours.md5 === theirs.md5) return;
  tally.counts.add('descended');
  const left = new Map(texts.map(({ id, text }) => [id, text]));
  for (let { after } = range; ; ) {
    const rows = await rowsInRange(scope.postgres, entity, { after, upTo: range.upTo }, SWEEP_ROWS);
    const suspects = rows.filter(({ id, text }) => left.get(id) !== text).map(({ id }) => id);
    tally.counts.add('compared', rows.filter(({ id }) => !left.has(id)).length);
    for (const { id } of rows) left.delete(id);
    await settleInto(scope, entity, suspects, context, tally);
    after = rows.at(-1)?.id ?? after;
    if (rows.length < SWEEP_ROWS) break;
  }
  await settleInto(scope, entity, [...left.keys()], context, tally);
}

async function compareById(
  scope: CopyScope,
  entity: Entity,
  documents: readonly RawDocument[],
  context: Context,
  tally: Tally,
): Promise<void> {
  const texts = textsOf(scope.mongo.codec, entity, documents, context);
  tally.counts.add('compared', texts.length);
  const rows = await rowsById(
    scope.postgres,
    entity,
    texts.map(({ id }) => id),
  );
  const held = new Map(rows.map((row) => [row.id, row.text]));
  const suspects = texts.filter(({ id, text }) => text === null || held.get(id) !== text).map(({ id }) => id);
  await settleInto(scope, entity, suspects, context, tally);
}

/** The other way: rows that no range of ObjectIds has hashed, each looked up in MongoDB. */
function ofRows(scope: CopyScope, entity: Entity, from: string, context: Context): Comparison {
  const { what } = context.body;
  const filter: RowFilter = {
    onlyOtherIds: what === 'full',
    since: typeof what === 'object' && 'sinceMs' in what ? new Date(what.sinceMs) : null,
    share: typeof what === 'object' && 'share' in what ? what.share : 1,
  };
  let after = from;
  return {
    async next(tally) {
      for (let done = 0; ; ) {
        const page = { after, upTo: null, limit: SWEEP_ROWS };
        const rows = await sweepRows(scope.postgres, entity, filter, page);
        const _ids = decodeIds(rows.map(({ id }) => id));
        const known = new Map<string, string | null>();
        for await (const raw of eachRaw(scope.mongo, entity, _ids)) {
          for (const { id, text } of textsOf(scope.mongo.codec, entity, [raw], context)) known.set(id, text);
        }
        const suspects = rows.filter(({ id, text }) => known.get(id) !== text).map(({ id }) => id);
        tally.counts.add('swept', rows.length);
        await settleInto(scope, entity, suspects, context, tally);
        done += rows.length;
        after = rows.at(-1)?.id ?? after;
        if (rows.length < SWEEP_ROWS) return null;
        if (done >= STRETCH_DOCUMENTS_MAX || (await context.pace.paused())) return { kind: 'rows', after };
      }
    },
    close: async () => {},
  };
}

async function settleInto(
  scope: CopyScope,
  entity: Entity,
  ids: readonly string[],
  { body }: Context,
  { counts, differences, lagging }: Tally,
): Promise<void> {
  if (ids.length === 0) return;
  const settled = await settle(scope, body.authority, entity, ids);
  differences.push(...settled.differences);
  lagging.push(...settled.lagging.map((id) => ({ entity, id })));
  counts.add('excused', settled.excused);
}
