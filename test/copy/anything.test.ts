/** Whatever documents there are, a copy ends: each is moved, past retention, or named as bad. */
import { BSONRegExp, serialize } from 'bson';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runBackfill, verify } from '../../cutover/copy/index.ts';
import type { Doc } from '../../db/canonical.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { anyDocument } from '../canonical/arbitraries.ts';
import { HASH, legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { insertBytes } from './raw-mongo.ts';
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
          // Good ones between them: whatever is wrong with a neighbour in a batch of COPY, they arrive.
          const good = Array.from({ length: 25 }, (_, place) => `user-${place}-good`);
          await bench.insert(
            'user',
            good.map((_id) => ({ ...BASE.user, _id, email: `${_id}@good.org` })),
          );
          let count = good.length;
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
          const held = await bench.postgres.query('select id from users where id = any($1)', [good]);
          expect(held).toHaveLength(good.length);
          expect((await verify(bench)).differences).toEqual([]);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('that only the table itself refuses are found one by one, and take no good one along', async () => {
    await clear(bench);
    await bench.setMode('dual-write');
    const isRefused = (place: number) => place % 97 === 0 || place === 501 || place === 502;
    const users = Array.from({ length: 700 }, (_, place) => ({
      ...legacyUser(),
      name: isRefused(place) ? 'Refused' : 'Ann',
    }));
    await bench.insert('user', users);
    const sql = (text: string) => asSuperuser(bench.urls.postgres, text);
    await sql(`alter table users add constraint users_no_refused check (name <> 'Refused')`);
    try {
      const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine', jobs: 1 });
      const refused = users.filter((_, place) => isRefused(place)).map(({ _id }) => String(_id));
      expect(result.bad.map(({ id, field, reason }) => [id, field, reason])).toEqual(
        refused.sort().map((id) => [id, 'users_no_refused', 'refused']),
      );
      expect(result.counts).toMatchObject({ inserted: 700 - refused.length, quarantined: refused.length });
    } finally {
      await sql('alter table users drop constraint users_no_refused');
    }
  });

  it('under an _id that this driver cannot write are bad, and do not stop the run', async () => {
    await clear(bench);
    await bench.setMode('dual-write');
    const [good, odd] = [legacyUser(), legacyUser({ _id: { _bsonTYPE: 'x' } })].map((doc) =>
      Buffer.from(serialize(doc)),
    );
    if (good === undefined || odd === undefined) throw new Error('no documents');
    odd.write('_bsontype', odd.indexOf('_bsonTYPE'));
    expect(await insertBytes(bench.urls.mongo, 'users', [good, odd])).toMatchObject({ ok: 1, n: 2 });
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { read: 2, inserted: 1, quarantined: 1 } });
    expect(result.bad.map(({ field, reason }) => [field, reason])).toEqual([['_id', 'unreadable']]);
  });

  it('as no driver would write them are read as others read them', async () => {
    await clear(bench);
    await bench.setMode('dual-write');
    const [twice, symbol, nothing] = [legacyUser(), legacyUser(), legacyUser()].map((doc) =>
      Buffer.from(serialize({ ...doc, name: 'Anna', nome: 'Bert' })),
    );
    if (twice === undefined || symbol === undefined || nothing === undefined) throw new Error('no documents');
    twice.write('name', twice.indexOf('nome'));
    symbol[symbol.indexOf('\u0002name\0')] = 0x0e;
    // The string's bytes are still there, under a field of their own.
    nothing[nothing.indexOf('\u0002nome\0')] = 0x0d;
    const answer = await insertBytes(bench.urls.mongo, 'users', [twice, symbol, nothing]);
    expect(answer).toMatchObject({ ok: 1, n: 3 });
    const result = await runBackfill(bench, { from: 'mongo', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { read: 3, inserted: 3, bad: 0 } });
    const rows = await bench.postgres.query<{ name: string }>('select name from users order by id');
    expect(rows.map(({ name }) => name).sort()).toEqual(['Anna', 'Anna', 'Bert']);
  });
});
