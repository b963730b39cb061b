/** Indexes of the old service that would delete behind our back, or refuse what we write. */
import type mongoose from 'mongoose';
import { type Codec, type QueriedField, withoutIndexes } from '../canonical.ts';
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

const SHARED = {
  user: ['name', 'passwordHash', 'isVerified', 'createdAt', 'updatedAt', 'deletedAt'],
  token: ['userId', 'expiresAt', 'createdAt'],
} as const;

export function clashesFor(codec: Codec): Readonly<Record<string, Clashes>> {
  const indexes = indexesFor(codec);
  return Object.fromEntries(
    ENTITIES.map((entity) => {
      const collection = codec.collections[entity];
      const unique = entity === 'user' ? (['email'] as const) : (['token'] as const);
      const shared = entity === 'user' ? SHARED.user : SHARED.token;
      // An index into an array names it without the place of the element.
      const paths = (fields: readonly QueriedField[]) =>
        fields.flatMap((field) => {
          const { text } = codec.path(entity, field);
          return [text, withoutIndexes(text)];
        });
      const clashes: Clashes = {
        uniqueAnyway: new Set(['_id', ...paths(unique)]),
        shared: new Set(paths(shared)),
        own: new Set(indexes[collection]?.map(({ name }) => name)),
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
  if (clash === 'absent' && sparse !== true && index.partialFilterExpression === undefined) {
    const present = Object.fromEntries(fields.map((field) => [field, { $exists: true }]));
    return {
      options: { ...kept, name, unique: true, partialFilterExpression: present },
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
