import { createHmac } from 'node:crypto';
import type { Entity } from '../../db/records.ts';

const DIGITS = 16;

export type Digest = (entity: Entity, field: string, value: unknown) => string;

/**
 * A keyed digest of one field's value, 16 hex digits: equal values of one field are told apart from different ones, and
 * nobody without the key can try values out. Values of two fields never compare.
 */
export function createDigest(key: Uint8Array): Digest {
  return (entity, field, value) =>
    createHmac('sha256', key)
      .update(JSON.stringify([entity, field, ...canonical(value)]))
      .digest('hex')
      .slice(0, DIGITS);
}

function canonical(value: unknown): readonly [string, unknown] {
  if (value instanceof Date) return ['date', value.getTime()];
  if (value === null || value === undefined) return ['nothing', null];
  return [typeof value, value];
}
