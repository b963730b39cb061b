/** Documents of old services, written by hand, and the rows they become, written by hand as well. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { EJSON } from 'bson';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COPY_REASONS } from '../../cutover/copy/classify.ts';
import { type BackfillResult, openBulk, runBackfill, verify } from '../../cutover/copy/index.ts';
import { REASONS } from '../../db/canonical.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { asSuperuser } from '../support/databases.ts';
import { BROKEN, COLUMNS, type LegacyCase, TYPELESS } from './legacy/cases.ts';
import { SESSIONS } from './legacy/sessions.ts';
import { RESET_TOKENS, VERIFICATION_TOKENS } from './legacy/tokens.ts';
import { USERS } from './legacy/users.ts';
import { openRewritingProxy } from './rewriting-proxy.ts';
import { openBench } from './support.ts';

const CASES: Readonly<Record<Entity, readonly LegacyCase[]>> = {
  user: USERS,
  verificationToken: VERIFICATION_TOKENS,
  resetToken: RESET_TOKENS,
  session: SESSIONS,
};
const TABLE = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
} as const;
const ALL = ENTITIES.flatMap((entity) => CASES[entity].map((each) => ({ entity, ...each })));
const REPLACED = '\ufffd'.repeat(4);

/** What a report calls the document. */
function nameOf({ document }: LegacyCase): string {
  const _id = document['_id'] as string | { readonly $oid: string };
  if (typeof _id !== 'string') return _id.$oid;
  return _id.includes(BROKEN) ? `~?${_id.replace(BROKEN, REPLACED)}` : _id;
}

/** Without the digest of a name that is none. */
const undigested = (id: string) => (id.startsWith('~?') ? id.replace(/\.[\w-]{22}$/, '') : id);
const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** Everything in a document that no report may hold. */
function secretsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return /@|\$|^[a-f0-9]{64}$| horse /.test(value) ? [value.trim()] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(secretsOf);
}

describe('legacy documents', async () => {
  const bench = await openBench();
  const proxy = await openRewritingProxy(bench.urls.mongo, [
    { from: Buffer.from(BROKEN), to: Buffer.of(0xed, 0xa0, 0x80, 0xff) },
    { from: Buffer.from(`\u0002${TYPELESS}\0`), to: Buffer.from(`\u0099${TYPELESS}\0`, 'latin1') },
  ]);
  const bulk = openBulk({ mongoUrl: proxy.url, postgresUrl: bench.urls.postgres });
  afterAll(async () => {
    await bulk.close();
    await proxy.close();
  });
  const scope = { ...bench, mongo: bulk.mongo, postgres: bulk.postgres };
  const results: BackfillResult[] = [];

  const live = async (): Promise<string> =>
    createHash('sha256')
      .update(JSON.stringify(await bench.rows()))
      .digest('hex');
  const found = ({ bad }: BackfillResult) =>
    bad.map(({ entity, id, field, reason }) => [entity, undigested(id), `${field}: ${reason}`]).sort(byText);
  const expectedBad = (except: readonly string[] = []) =>
    ALL.flatMap((each) => (each.bad ?? []).map((reason) => [each.entity, nameOf(each), reason]))
      .filter(([, , reason]) => !except.includes(String(reason)))
      .sort(byText);

  beforeAll(async () => {
    await bench.setMode('dual-write');
    for (const entity of ENTITIES) {
      const documents = CASES[entity].map(({ document, literal }) => ({
        ...EJSON.parse(JSON.stringify(document), { relaxed: false }),
        ...literal,
      }));
      await bench.insert(entity, documents);
    }
  });

  it('are sixty and more', () => {
    expect(ALL.length).toBeGreaterThanOrEqual(60);
    for (const { row, bad, left, what } of ALL) {
      expect(
        [row, bad, left].filter((each) => each !== undefined),
        what,
      ).toHaveLength(1);
    }
  });

  it('TC07 roll a run back, which names each bad one and leaves the live tables to the byte', async () => {
    const before = await live();
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
    results.push(result);
    expect(result.outcome).toBe('rolled-back');
    // Nobody is put aside in such a run, so nobody goes with them.
    expect(found(result)).toEqual(expectedBad(['userId: user-put-aside']));
    expect(await live()).toBe(before);
    expect(await bench.postgres.query('select record_id from copy_quarantine')).toEqual([]);
  });

  it('become the rows that were written for them', async () => {
    const result = await runBackfill(scope, { from: 'mongo', onBad: 'quarantine' });
    results.push(result);
    expect(result.outcome).toBe('complete');
    for (const entity of ENTITIES) {
      const columns = COLUMNS[TABLE[entity]].split(' ');
      const rows = await asSuperuser<Record<string, unknown>>(
        bench.urls.postgres,
        `select * from ${TABLE[entity]}`,
      );
      const got = new Map(
        rows.map((row) => {
          expect(Object.keys(row).sort()).toEqual([...columns].sort());
          const cells = columns.map((column) => {
            const value = row[column];
            return value instanceof Date ? value.toISOString() : value;
          });
          return [cells[0], cells];
        }),
      );
      for (const { what, row } of CASES[entity]) if (row) expect(got.get(row[0]), what).toEqual(row);
      expect(got.size).toBe(CASES[entity].filter(({ row }) => row !== undefined).length);
    }
  });

  it('are counted by what was done to them', () => {
    const expected: Record<string, number> = {};
    for (const { entity, cleaned = [] } of ALL) {
      for (const finding of cleaned) {
        const name = `${entity}.${finding}`;
        expected[name] = (expected[name] ?? 0) + 1;
      }
    }
    const count = (left: LegacyCase['left']) => ALL.filter((each) => each.left === left).length;
    for (const result of results) {
      expect(result.cleaned).toEqual(expected);
      expect(result.counts).toMatchObject({ read: ALL.length, expired: count('expired') });
      expect(result.unknownFields).toEqual({
        'user.(no plain name)': 1,
        'user.plan': 1,
        'user.note': 1,
        'user.services': 1,
        'session.expires': 1,
        'session.session': 1,
      });
    }
    expect(results[1]?.counts).toMatchObject({
      inserted: ALL.filter(({ row }) => row !== undefined).length,
      updated: 0,
      dangling: count('dangling'),
      quarantined: ALL.filter(({ bad }) => bad !== undefined).length,
    });
  });

  it('are put aside whole, with their reasons, when they are bad', async () => {
    expect(found(results[1] as BackfillResult)).toEqual(expectedBad(['userId: user-put-aside']));
    const held = await bench.postgres.query<{
      entity: Entity;
      id: string;
      document: string;
      reasons: readonly { readonly field: string; readonly reason: string }[];
    }>('select entity, record_id as id, document, reasons from copy_quarantine');
    const reasons = held.flatMap((each) =>
      each.reasons.map(({ field, reason }) => [each.entity, undigested(each.id), `${field}: ${reason}`]),
    );
    expect(reasons.sort(byText)).toEqual(expectedBad());
    const stored = new Map<string, string>();
    for (const { id, document } of held) stored.set(undigested(id), document);
    for (const each of ALL.filter(({ bad }) => bad !== undefined)) {
      const text = stored.get(nameOf(each)) ?? '';
      const isReadable = !JSON.stringify(each.document).includes(TYPELESS) && !nameOf(each).startsWith('~?');
      if (isReadable) expect(JSON.parse(text)).toMatchObject(JSON.parse(JSON.stringify(each.document)));
      else {
        const bytes = Buffer.from(JSON.parse(text).$bytes, 'base64');
        expect(bytes.includes('Ann')).toBe(true);
        expect(bytes.includes(Buffer.of(0xed, 0xa0, 0x80, 0xff)) || bytes.includes(TYPELESS)).toBe(true);
      }
    }
    const twins = results[1]?.bad.filter(({ reason }) => reason === 'duplicate-email');
    const ids = ['600000000000000000000056', '600000000000000000000057'];
    expect(twins?.map(({ detail }) => detail)).toEqual([{ ids }, { ids }]);
  });

  it('are alike in both stores afterwards', async () => {
    const checked = await verify(scope);
    expect(checked).toMatchObject({ clean: true, differences: [], lagging: 0 });
    expect(checked.compared).toBeGreaterThanOrEqual(60);
  });

  it('leave no secret in a report', () => {
    const report = JSON.stringify(results);
    const secrets = ALL.flatMap(({ document }) => secretsOf(document));
    expect(secrets.length).toBeGreaterThan(60);
    for (const secret of secrets) expect(report).not.toContain(secret);
    expect(report).not.toMatch(/@|\$2|sha256:|[0-9a-f]{64}/);
  });

  it('show every reason there is but one, and docs/cleaning.md has a row for each', () => {
    const shown = new Set(
      ALL.flatMap(({ cleaned = [], bad = [] }) => [...cleaned, ...bad]).map((text) => text.split(': ')[1]),
    );
    const reasons = [...REASONS, ...COPY_REASONS];
    // No record that passes the copier's own checks is known to be refused by the table's.
    expect(reasons.filter((reason) => !shown.has(reason))).toEqual(['refused']);
    const page = readFileSync(new URL('../../docs/cleaning.md', import.meta.url), 'utf8');
    const documented = page
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name));
    expect(documented.sort()).toEqual([...reasons, 'expired'].sort());
  });
});
