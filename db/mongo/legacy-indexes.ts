/** Indexes of the old service that would delete behind our back, or refuse what we write. */
import type mongoose from 'mongoose';
import { INDEXES } from './indexes.ts';
import { COLLECTIONS } from './models.ts';

export interface LegacyFix {
  /** With these the same key is indexed again. */
  readonly options: mongoose.mongo.CreateIndexesOptions;
  /** What was done, for the report. */
  readonly done: string;
}

/** Fields that every document of ours holds, each with a value of its own. */
const UNIQUE_ANYWAY: ReadonlySet<string> = new Set(['_id', 'email', 'token']);

/** Fields that we write into many documents alike. */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  [COLLECTIONS.user]: ['name', 'password', 'isVerified', 'createdAt', 'updatedAt', 'deletedAt'],
  [COLLECTIONS.verificationToken]: ['userId', 'expiresAt', 'createdAt'],
  [COLLECTIONS.resetToken]: ['userId', 'expiresAt', 'createdAt'],
  [COLLECTIONS.session]: ['userId', 'expiresAt', 'createdAt'],
};

/** Null when the index may stay as it is. */
export function legacyFix(collection: string, index: mongoose.mongo.IndexDescriptionInfo): LegacyFix | null {
  const name = String(index.name);
  if (INDEXES[collection]?.some((spec) => spec.name === name) === true) return null;
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
  const clash = unique === true ? clashOf(collection, fields) : null;
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

function clashOf(collection: string, fields: readonly string[]): 'shared' | 'absent' | null {
  if (fields.some((field) => UNIQUE_ANYWAY.has(field))) return null;
  return fields.some((field) => SHARED[collection]?.includes(field) !== true) ? 'absent' : 'shared';
}
