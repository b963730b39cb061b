import { Binary, Double, deserialize, Int32, Long, ObjectId, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emailKey } from '../../db/email.ts';
import { decodeId, encodeId, newId } from '../../db/ids.ts';
import { anyBson } from './arbitraries.ts';

const usable = anyBson.filter((value) => {
  try {
    encodeId(value);
    return true;
  } catch {
    return false;
  }
});

/** Equal exactly when MongoDB would refuse the second as a duplicate `_id`: numbers by value, all else by bytes. */
function bytes(value: unknown): string {
  const promoted = deserialize(serialize({ v: value }));
  return Buffer.from(serialize(promoted)).toString('hex');
}

describe('encodeId', () => {
  it('keeps an ObjectId’s 24 hex digits and ordinary strings', () => {
    const hex = '507f1f77bcf86cd799439011';
    expect(encodeId(ObjectId.createFromHexString(hex))).toBe(hex);
    expect(encodeId('ann')).toBe('ann');
    expect(encodeId(hex)).toBe(`~s${hex}`);
    expect(encodeId('~ann')).toBe('~s~ann');
  });

  it('gives numbers that MongoDB holds for one _id one id', () => {
    const ids = [1, new Int32(1), new Double(1), Long.fromNumber(1)].map(encodeId);
    expect(new Set(ids).size).toBe(1);
  });

  it('round trips any _id, as text that PostgreSQL takes', () => {
    fc.assert(
      fc.property(usable, (value) => {
        const id = encodeId(value);
        expect(id.includes('\0')).toBe(false);
        expect(id.isWellFormed()).toBe(true);
        expect(encodeId(decodeId(id))).toBe(id);
        if (typeof value === 'string') expect(decodeId(id)).toBe(value);
        else expect(bytes(decodeId(id))).toBe(bytes(value));
      }),
      { numRuns: 2000 },
    );
  });

  it('is injective', () => {
    const confusable = fc.oneof(
      usable,
      fc.constantFrom(
        '',
        '~',
        '~s',
        '~b',
        '507f1f77bcf86cd799439011',
        'a\0',
        '\ud800',
        '~sa',
        1,
        '1',
        true,
        'true',
      ),
    );
    fc.assert(
      fc.property(confusable, confusable, (a, b) => {
        const isText = typeof a === 'string' && typeof b === 'string';
        expect(encodeId(a) === encodeId(b)).toBe(isText ? a === b : bytes(a) === bytes(b));
      }),
      { numRuns: 3000 },
    );
  });

  it('knows no value for an id it would not give', () => {
    for (const id of ['~', '~x', '~b', '~b!!', '~sann', '~uYQA', 'a\0b', '\ud800', '']) {
      expect(decodeId(id), JSON.stringify(id)).toBeUndefined();
    }
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).map((rest) => `~${rest}`),
        (id) => {
          const value = decodeId(id);
          if (value !== undefined) expect(encodeId(value)).toBe(id);
        },
      ),
    );
  });

  it('keeps binary ids apart by subtype', () => {
    expect(encodeId(new Binary(new Uint8Array(16), 4))).not.toBe(encodeId(new Binary(new Uint8Array(16), 0)));
  });
});

describe('newId', () => {
  it('is the time in seconds and 16 random digits', () => {
    const now = new Date('2026-03-01T12:00:00.789Z');
    const ids = new Set(Array.from({ length: 1000 }, () => newId(now)));
    expect(ids.size).toBe(1000);
    for (const id of ids) {
      expect(id).toMatch(/^69a42a40[0-9a-f]{16}$/);
      expect(ObjectId.createFromHexString(id).getTimestamp()).toEqual(new Date('2026-03-01T12:00:00Z'));
    }
  });
});

describe('an id that a query would take for a condition', () => {
  it.each([{ $gt: '' }, { $oid: '61' }, { a: 1, $ne: 2 }, /./])('names nothing: %s', (value) => {
    expect(() => encodeId(value)).toThrow(TypeError);
    const sent = `~b${Buffer.from(serialize({ v: value })).toString('base64url')}`;
    expect(decodeId(sent)).toBeUndefined();
  });
});

describe('emailKey', () => {
  it('is the same in any letter case and Unicode form', () => {
    expect(emailKey(' Zoe\u0301@Example.ORG ')).toBe('zo\u00e9@example.org');
  });

  it('is idempotent', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (email) => {
        expect(emailKey(emailKey(email))).toBe(emailKey(email));
      }),
      { numRuns: 2000 },
    );
  });
});
