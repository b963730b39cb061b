/** Indexes of the old service that would delete behind our back, or refuse what we write. */
import type mongoose from 'mongoose';
import { SESSION_FIELDS } from '../canonical/fields.ts';
import { type Codec, type Doc, type QueriedField, withoutIndexes } from '../canonical.ts';
import { ENTITIES } from '../records.ts';
import { indexesFor } from './indexes.ts';

export interface LegacyFix {
  /** With these the same key is indexed again. */
  readonly options: mongoose.mongo.CreateIndexesOptions;
  /** What was done, for the report. */
  readonly done: string;
}

/** What an old index would refuse of what we write, by collection. */
export interface Clashes {
  /** Fields that every document of ours holds, each with a value of its own. */
  readonly uniqueAnyway: ReadonlySet<string>;
  /** Fields that we write into many documents alike. */
  readonly shared: ReadonlySet<string>;
  /** Names of the indexes this service makes. */
  readonly own: ReadonlySet<string>;
}

const TOKEN = { unique: ['token'], shared: ['userId', 'expiresAt', 'createdAt'] } as const;
const FIELDS = {
  user: {
    unique: ['email'],
    shared: ['name', 'passwordHash', 'isVerified', 'createdAt', 'updatedAt', 'deletedAt'],
  },
  verificationToken: TOKEN,
  resetToken: TOKEN,
} as const;

export function clashesFor(codec: Codec): Readonly<Record<string, Clashes>> {
  const indexes = indexesFor(codec);
  return Object.fromEntries(
    ENTITIES.map((entity) => {
      const collection = codec.collections[entity];
      const own = new Set(indexes[collection]?.map(({ name }) => name));
      // Each session has a token of its own.
      if (entity === 'session')
        return [
          collection,
          { uniqueAnyway: new Set(['_id', 'tokenHash']), shared: new Set<string>(SESSION_FIELDS), own },
        ];
      const { unique, shared } = FIELDS[entity];
      // An index into an array names it without the place of the element.
      const paths = (fields: readonly QueriedField[]) =>
        fields.flatMap((field) => {
          const { text } = codec.path(entity, field);
          return [text, withoutIndexes(text)];
        });
      const clashes: Clashes = {
        uniqueAnyway: new Set(['_id', ...paths(unique)]),
        shared: new Set(paths(shared)),
        own,
      };
      return [collection, clashes];
    }),
  );
}

/** Null when the index may stay as it is. */
export function legacyFix(
  clashes: Clashes | undefined,
  index: mongoose.mongo.IndexDescriptionInfo,
): LegacyFix | null {
  const name = String(index.name);
  if (clashes === undefined || clashes.own.has(name)) return null;
  const fields = Object.keys(index.key);
  const {
    v: _v,
    key: _key,
    ns: _ns,
    expireAfterSeconds,
    unique,
    sparse,
    ...kept
  } = index as typeof index & {
    readonly ns?: string;
    readonly sparse?: boolean;
  };
  const whole = { ...kept, name, ...(sparse === true ? { sparse } : {}) };
  const clash = unique === true ? clashOf(clashes, fields) : null;
  if (clash === 'shared') {
    return { options: whole, done: `unique index ${name} on ${fields.join(', ')} replaced by a plain one` };
  }
  const { partialFilterExpression: partial = {} } = index;
  if (clash === 'absent' && !leavesOut(clashes, fields, { isSparse: sparse === true, partial })) {
    const absent = fields.filter((field) => !clashes.shared.has(field));
    const present = Object.fromEntries(absent.map((field) => [field, { $exists: true }]));
    return {
      options: { ...kept, name, unique: true, partialFilterExpression: { ...partial, ...present } },
      done: `unique index ${name} on ${fields.join(', ')} now leaves out documents without these fields`,
    };
  }
  if (expireAfterSeconds === undefined) return null;
  return {
    options: { ...whole, ...(unique === true ? { unique } : {}) },
    done: `TTL index ${name} on ${fields.join(', ')} replaced by a plain one: retention is this service's`,
  };
}

function clashOf({ uniqueAnyway, shared }: Clashes, fields: readonly string[]): 'shared' | 'absent' | null {
  if (fields.some((field) => uniqueAnyway.has(field))) return null;
  return fields.some((field) => !shared.has(field)) ? 'absent' : 'shared';
}

/**
 * Whether it passes over documents that lack fields of its own: a sparse one does where they lack all of them, a partial one
 * where it asks for one that they lack.
 */
function leavesOut(
  { uniqueAnyway, shared }: Clashes,
  fields: readonly string[],
  { isSparse, partial }: { readonly isSparse: boolean; readonly partial: Doc },
): boolean {
  if (isSparse && !fields.some((field) => shared.has(field))) return true;
  return Object.entries(partial).some(
    ([field, condition]) =>
      !field.startsWith('$') && !uniqueAnyway.has(field) && !shared.has(field) && condition !== null,
  );
}
