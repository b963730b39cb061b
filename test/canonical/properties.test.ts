import { deserialize, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Doc } from '../../db/canonical.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';
import { anyDocument, resetToken, sessionRecord, userRecord } from './arbitraries.ts';
import { CANONICAL, toDocument } from './default.ts';

/** As the driver would give it back. */
function stored(doc: Doc): Doc {
  return deserialize(serialize(doc));
}

function canonical<E extends Entity>(entity: E, doc: Doc): RecordOf[E] | null {
  const result = CANONICAL[entity](doc);
  return 'record' in result ? result.record : null;
}

function isPostgresText(value: unknown): boolean {
  if (typeof value === 'string') return !value.includes('\0') && value.isWellFormed();
  if (value instanceof Date) return !Number.isNaN(value.getTime());
  return typeof value === 'number' ? Number.isSafeInteger(value) : true;
}

describe.each(ENTITIES)('%s', (entity) => {
  it('any document ends canonical or named as bad, never in a crash', () => {
    fc.assert(
      fc.property(anyDocument, (doc) => {
        const result = CANONICAL[entity](doc);
        if ('bad' in result) expect(result.bad.length).toBeGreaterThan(0);
        else expect(Object.values(result.record).every(isPostgresText)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('what was read once is read the same again', () => {
    fc.assert(
      fc.property(anyDocument, (doc) => {
        const record = canonical(entity, doc);
        if (record === null) return;
        expect(canonical(entity, stored(toDocument(entity, record)))).toEqual(record);
      }),
      { numRuns: 2000 },
    );
  });

  it('findings name fields and reasons only', () => {
    fc.assert(
      fc.property(anyDocument, (doc) => {
        const result = CANONICAL[entity](doc);
        for (const finding of 'bad' in result ? result.bad : result.cleaned) {
          expect(Object.keys(finding)).toEqual(['field', 'reason']);
          expect(finding.reason).toMatch(/^[a-z-]+$/);
        }
      }),
    );
  });
});

describe('canonical → document → canonical is the identity', () => {
  it('for users', () => {
    expectIdentity('user', userRecord);
  });
  it('for tokens', () => {
    expectIdentity('resetToken', resetToken);
  });
  it('for sessions', () => {
    expectIdentity('session', sessionRecord);
  });
});

function back<E extends Entity>(entity: E, record: RecordOf[E]): RecordOf[E] | null {
  const doc = stored(toDocument(entity, record));
  const result = CANONICAL[entity](doc);
  if ('bad' in result) throw new Error(JSON.stringify(result.bad));
  return result.record;
}

function expectIdentity<E extends Entity>(entity: E, records: fc.Arbitrary<RecordOf[E]>): void {
  fc.assert(
    fc.property(records, (record) => {
      expect(back(entity, record)).toEqual(record);
    }),
    { numRuns: 500 },
  );
}
