/** Whatever documents there are, a copy ends: each is moved, past retention, or named as bad. */
import { BSONRegExp } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runBackfill, verify } from '../../cutover/copy/index.ts';
import type { Doc } from '../../db/canonical.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { anyDocument } from '../canonical/arbitraries.ts';
import { HASH } from '../mongo/legacy.ts';
import { clear, openBench } from './support.ts';

/** Fields that make a document good enough to get as far as PostgreSQL, when the arbitrary ones do not spoil it. */
const BASE: Readonly<Record<Entity, Doc>> = {
  user: { email: 'base', name: 'n', password: HASH },
  verificationToken: { userId: 'u', token: 't', expiresAt: new Date('2100-01-01') },
  resetToken: { userId: 'u', token: 't', expiresAt: new Date('2100-01-01') },
  session: { userId: 'u', tokenHash: 'a'.repeat(64), keyId: 'k', expiresAt: new Date('2100-01-01') },
};

describe('any documents', { timeout: 90_000 }, async () => {
  const bench = await openBench();

  it('end as rows or as findings, and verify agrees', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record(
          Object.fromEntries(
            ENTITIES.map((entity) => [entity, fc.array(anyDocument, { maxLength: 12 })]),
          ) as {
            [E in Entity]: fc.Arbitrary<Doc[]>;
          },
        ),
        async (given) => {
          await clear(bench);
          await bench.setMode('dual-write');
          let count = 0;
          for (const entity of ENTITIES) {
            for (const [place, doc] of given[entity].entries()) {
              const own = entity === 'user' ? { email: `u${place}@x.org` } : {};
              const base = place % 2 === 0 ? {} : { ...BASE[entity], ...own };
              const document: Doc = { _id: `${entity}-${place}`, ...base, ...doc };
              // MongoDB takes no such `_id`; a server that does finds them in no type of its own.
              const _id: unknown = document['_id'];
              if (Array.isArray(_id) || _id instanceof BSONRegExp || _id === undefined) continue;
              try {
                await bench.insert(entity, [document]);
                count += 1;
              } catch {
                // The server takes no such document, so there never is one.
              }
            }
          }
          const { outcome, counts } = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
          expect(outcome).toBe('complete');
          expect(counts.read).toBe(count);
          expect(
            counts.inserted + counts.quarantined + counts.expired + counts.dangling,
          ).toBeGreaterThanOrEqual(count);
          expect((await verify(bench)).differences).toEqual([]);
        },
      ),
      { numRuns: 8 },
    );
  });
});
