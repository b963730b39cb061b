/** One document on its way: the record it means, or why it is bad; and what to count about it. Pure. */
import { isExpired } from '../../db/apply.ts';
import { type Codec, markOf, type Reason } from '../../db/canonical.ts';
import { brokenField, isNameless, type RawDocument } from '../../db/mongo/copy/raw-document.ts';
import { misfitOf } from '../../db/postgres/copy/rows.ts';
import type { Entity, RecordOf } from '../../db/records.ts';

/** What a copy finds besides what reading one document does. */
export const COPY_REASONS = [
  'undecodable',
  'refused',
  'duplicate-email',
  'duplicate-token',
  'dangling',
  'user-put-aside',
] as const;

export interface Flaw {
  readonly field: string;
  readonly reason: Reason | (typeof COPY_REASONS)[number];
}

/** What cleaning is counted under. */
export const cleanedName = (entity: Entity, { field, reason }: Flaw): string =>
  `clean:${entity}.${field}: ${reason}`;

export type Classified<E extends Entity> =
  | { readonly kind: 'good'; readonly record: RecordOf[E]; readonly isMarked: boolean }
  | { readonly kind: 'expired' }
  | { readonly kind: 'bad'; readonly flaws: readonly Flaw[] };

/** Adds what was cleaned and which fields are unknown to `counts`. */
export function classify<E extends Entity>(
  codec: Codec,
  entity: E,
  { bytes, doc, id }: RawDocument,
  expiredBefore: Date,
  counts: Counts,
): Classified<E> {
  counts.add('read');
  if (doc === null) return { kind: 'bad', flaws: [{ field: placeOf(bytes), reason: 'undecodable' }] };
  const read = codec.read(entity, doc);
  for (const steps of codec.unknownFields(entity, doc)) counts.addUnknown(entity, nameOf(steps));
  if ('bad' in read) return { kind: 'bad', flaws: read.bad };
  const misfit = misfitOf(read.record);
  if (misfit !== null) return { kind: 'bad', flaws: [misfit] };
  if (isNameless(id)) return { kind: 'bad', flaws: [{ field: '_id', reason: 'unreadable' }] };
  if (isExpired(read.record, expiredBefore)) return { kind: 'expired' };
  for (const finding of read.cleaned) counts.add(cleanedName(entity, finding));
  return { kind: 'good', record: read.record, isMarked: markOf(doc) !== null };
}

/** A field's name may be data, such as an address that something is filed under: only what looks like a name is told. */
const nameOf = (steps: readonly string[]): string => steps.map(plain).join('.');
function placeOf(bytes: Uint8Array): string {
  const place = brokenField(bytes);
  return typeof place === 'string' ? plain(place) : `(byte ${place})`;
}
const plain = (name: string): string =>
  /^(?:\*|[\p{L}\p{N}_$ -]{1,64})$/u.test(name) ? name : '(no plain name)';

/** Field names that are data themselves must not fill the memory. */
const NAMES_MAX = 500;

export interface Counts {
  add(name: string, by?: number): void;
  /** Of a field of nobody. Such names come out of documents: behind the first so many they are one, `(more)`. */
  addUnknown(entity: Entity, field: string): void;
  toJson(): Readonly<Record<string, number>>;
}

export function createCounts(): Counts {
  const counts = new Map<string, number>();
  const add = (name: string, by = 1): void => {
    counts.set(name, (counts.get(name) ?? 0) + by);
  };
  let names = 0;
  return {
    add,
    addUnknown(entity, field) {
      const name = `unknown:${entity}.${field.replaceAll('\0', '').toWellFormed()}`;
      const isNew = !counts.has(name);
      if (isNew && names === NAMES_MAX) return add(`unknown:${entity}.(more)`);
      if (isNew) names += 1;
      add(name);
    },
    toJson: () => Object.fromEntries(counts),
  };
}

/** Sums of several counts. */
export function sumCounts(
  all: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, number>> {
  const sum: Record<string, number> = {};
  for (const counts of all) {
    for (const [name, count] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

/** The counts behind a prefix, without it, the most frequent first. */
export function countsOf(
  counts: Readonly<Record<string, number>>,
  prefix: string,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(counts)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, count]): [string, number] => [name.slice(prefix.length), count])
      .sort(([, a], [, b]) => b - a),
  );
}
