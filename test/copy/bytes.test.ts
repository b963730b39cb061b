/** Whatever bytes a document is made of: it ends canonical, or named as bad with a field and a reason. */
import { BSONRegExp, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify, createCounts } from '../../cutover/copy/classify.ts';
import { runBackfill, verify } from '../../cutover/copy/index.ts';
import { DEFAULT_CODEC, type Doc } from '../../db/canonical.ts';
import { ID_BYTES_MAX } from '../../db/ids.ts';
import { fromExtendedJson, toExtendedJson } from '../../db/mongo/copy/client.ts';
import { toRaw } from '../../db/mongo/copy/raw-document.ts';
import { toLine } from '../../db/postgres/copy/rows.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { anyDocument } from '../canonical/arbitraries.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { insertBytes } from './raw-mongo.ts';
import { openBench } from './support.ts';

const LATER = new Date('2100-01-01');
const BASE: Readonly<Record<Entity, Doc>> = {
  user: { _id: 'some-id', email: 'ann@example.org', name: 'Ann', password: HASH },
  verificationToken: { userId: 'u', _id: 'some-id', token: 't', expiresAt: LATER },
  resetToken: { userId: 'u', _id: 'some-id', token: 't', expiresAt: LATER },
  session: { _id: 'some-id', userId: 'u', tokenHash: 'a'.repeat(64), keyId: 'k', expiresAt: LATER },
};

/** A document that is mostly good, and holds a value of every kind now and then. */
const documentOf = (entity: Entity): fc.Arbitrary<Buffer> =>
  fc
    .oneof(fc.constant({}), anyDocument)
    .filter(isWritable)
    .map((doc) => Buffer.from(serialize({ ...BASE[entity], ...doc })));

/** By the driver: nothing in it is named `_bsontype`. */
function isWritable(doc: Doc): boolean {
  try {
    return serialize(doc).length > 0;
  } catch {
    return false;
  }
}

/** One thing that is wrong with bytes; lengths on the outside are kept right, as a server sends them. */
type Mutation = (bytes: Buffer) => Buffer;

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const within = (bytes: Buffer, at: number): number => 4 + Math.floor(at * (bytes.length - 5));
const byte = fc.nat({ max: 255 });

const flip = fc.tuple(place, fc.nat({ max: 7 })).map(
  ([at, bit]): Mutation =>
    (bytes) => {
      const changed = Buffer.from(bytes);
      const where = within(bytes, at);
      changed[where] = (changed[where] ?? 0) ^ (1 << bit);
      return changed;
    },
);
/** Bytes taken out of the middle, or put there. */
const resized = fc.tuple(place, fc.nat({ max: 12 }), fc.uint8Array({ maxLength: 12 })).map(
  ([at, left, put]): Mutation =>
    (bytes) => {
      const where = within(bytes, at);
      const end = Math.min(where + left, bytes.length - 1);
      const changed = Buffer.concat([bytes.subarray(0, where), put, bytes.subarray(end)]);
      changed.writeInt32LE(changed.length, 0);
      return changed;
    },
);
const NAMES = ['_id', 'email', 'name', 'password', 'userId', 'token', 'tokenHash', 'expiresAt', 'keyId'];
/** Where the value of one of the fields begins that are there; undefined: nowhere any more. */
function valueAt(bytes: Buffer, which: number): number | undefined {
  const found = NAMES.map((name) => [name, bytes.indexOf(`${name}\0`)] as const).filter(([, at]) => at > 4);
  const [name = '', at = 0] = found[which % found.length] ?? [];
  return found.length === 0 ? undefined : at + name.length + 1;
}
/** A text cut short, or with other bytes in it, under a length that is right. */
const rewritten = fc.tuple(fc.nat(), fc.nat({ max: 20 }), fc.uint8Array({ maxLength: 4 })).map(
  ([which, left, put]): Mutation =>
    (bytes) => {
      const at = valueAt(bytes, which);
      if (at === undefined || at + 4 > bytes.length) return bytes;
      const length = bytes.readInt32LE(at);
      const nul = at + 4 + length - 1;
      if (length < 1 || nul >= bytes.length || bytes[nul] !== 0) return bytes;
      const from = Math.max(at + 4, nul - left);
      const changed = Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(nul)]);
      changed.writeInt32LE(from + put.length - at - 3, at);
      changed.writeInt32LE(changed.length, 0);
      return changed;
    },
);
/** Another type for a field, one that BSON has or not. */
const retyped = fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(2, 13, 14, 5, 10, 127), byte)).map(
  ([which, type]): Mutation =>
    (bytes) => {
      const names = NAMES.map((name) => bytes.indexOf(`${name}\0`)).filter((at) => at > 4);
      const at = names[which % names.length];
      const changed = Buffer.from(bytes);
      if (at !== undefined) changed[at - 1] = type;
      return changed;
    },
);
const mutation = fc.oneof(flip, resized, rewritten, rewritten, retyped);
const mutantOf = (entity: Entity): fc.Arbitrary<Buffer> =>
  fc
    .tuple(documentOf(entity), fc.array(mutation, { minLength: 1, maxLength: 2 }))
    .map(([bytes, mutations]) => mutations.reduce((changed, mutate) => mutate(changed), bytes));

describe('any bytes', async () => {
  const bench = await openBench();

  it.each(ENTITIES)('of a %s are a record, or bad by a name, a field and a reason', (entity) => {
    const seen = { good: 0, bad: 0, undecodable: 0 };
    fc.assert(
      fc.property(mutantOf(entity), (bytes) => {
        const raw = toRaw(bytes);
        expect(raw.id).toMatch(/./s);
        expect(raw.id.isWellFormed() && !raw.id.includes('\0')).toBe(true);
        expect(Buffer.byteLength(raw.id)).toBeLessThanOrEqual(ID_BYTES_MAX);
        expect(toRaw(Buffer.from(bytes)).id).toBe(raw.id);
        const result = classify(DEFAULT_CODEC, entity, raw, new Date(0), createCounts());
        seen[raw.doc === null ? 'undecodable' : result.kind === 'bad' ? 'bad' : 'good'] += 1;
        if (result.kind === 'good') {
          expect(result.record.id).toBe(raw.id);
          expect(toLine(entity, result.record, { range: 1, isMarked: false })).toMatch(/\n$/);
        }
        if (result.kind === 'bad') {
          expect(result.flaws.length).toBeGreaterThan(0);
          for (const { field, reason } of result.flaws) {
            expect(field).toMatch(/^(?:\*|[\p{L}\p{N}_$. -]{1,200}|\(byte \d+\)|\(no plain name\))$/u);
            expect(reason).toMatch(/^[a-z0-9-]+$/);
          }
        }
        const kept = toExtendedJson(bytes);
        fromExtendedJson(kept);
        const { $bytes } = JSON.parse(kept);
        if (raw.doc === null) expect(Buffer.from($bytes, 'base64').equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
    // Otherwise it would hold of anything.
    for (const [kind, count] of Object.entries(seen)) expect(count, kind).toBeGreaterThan(20);
  });

  it('that a server takes end as rows or as findings, and verify says the same of them', async () => {
    await bench.setMode('dual-write');
    await bench.insert('user', [legacyUser()]);
    let count = 1;
    for (const [n, mutant] of fc.sample(mutantOf('user'), 500).entries()) {
      const bytes = Buffer.from(mutant);
      // Each its own `_id` and e-mail, where these are still what they were.
      for (const [text, prefix] of [
        ['some-id', 'of-id'],
        ['ann@', 'a'],
      ] as const) {
        const at = bytes.indexOf(text);
        const own = `${prefix}${n.toString(36).padStart(2, '0')}`;
        if (at > 0) bytes.write(own, at);
      }
      const _id = toRaw(bytes).doc?.['_id'];
      // MongoDB takes no such `_id`; a server that does finds them in no type of its own.
      if (Array.isArray(_id) || _id instanceof BSONRegExp || _id === undefined) continue;
      const answer = await insertBytes(bench.urls.mongo, 'users', [bytes]);
      if (answer['ok'] === 1) count += Number(answer['n']);
    }
    expect(count).toBeGreaterThan(30);
    const { outcome, counts, bad } = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    expect(outcome).toBe('complete');
    expect(counts).toMatchObject({ read: count, expired: 0 });
    expect(counts.inserted + counts.deferred + counts.quarantined).toBe(count);
    expect(counts.inserted).toBeGreaterThan(5);
    expect(new Set(bad.map(({ id }) => id)).size).toBe(counts.quarantined);
    expect(await verify(bench)).toMatchObject({ differences: [], excused: counts.quarantined });
    await bench.postgres.query('truncate copy_quarantine');
    const found = await verify(bench);
    expect(new Set(found.differences.map(({ id }) => id))).toEqual(new Set(bad.map(({ id }) => id)));
  });
});
