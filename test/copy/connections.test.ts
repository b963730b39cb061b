/** The copy's and the snapshot's connections to a PostgreSQL that speaks and is set otherwise than by default. */
import { afterAll, describe, expect, inject, it } from 'vitest';
import { attempt, openPostgresBulk } from '../../db/postgres/copy/client.ts';
import { connectPostgres } from '../../db/postgres/snapshot/client.ts';
import { answered, askingUrl, createOddDatabase, QUESTION } from '../postgres/odd-settings.ts';
import { openTranslatingProxy } from '../postgres/translating-proxy.ts';
import { dropDatabase, newDatabaseName } from '../support/databases.ts';

describe('connections to a database with settings of its own, on a server in Russian', async () => {
  const server = inject('postgresUrl');
  const name = newDatabaseName();
  const own = await createOddDatabase(server, name);
  const proxy = await openTranslatingProxy(own);
  const url = proxy.through(own);
  const closing: (() => Promise<unknown>)[] = [];
  afterAll(async () => {
    await Promise.all(closing.map((close) => close()));
    await proxy.close();
    await dropDatabase(server, name);
  });
  const open = (to: string) => {
    const bulk = openPostgresBulk({ url: to, poolMax: 1, statementTimeoutMs: 30_000 });
    closing.push(() => bulk.close());
    return bulk;
  };

  it.each([
    ['a URL without options', url, '4096'],
    ['a URL with its own', askingUrl(url), '1234'],
  ])('%s: they have what is relied on', async (_, to, workMem) => {
    expect(await open(to).query(QUESTION)).toEqual([answered('0', workMem)]);
    const snapshot = await connectPostgres(to);
    closing.push(() => snapshot.end());
    expect((await snapshot.query(QUESTION)).rows).toEqual([answered('0', workMem)]);
  });

  it('refuse a statement, and its transaction goes on', async () => {
    const answers = await open(url).transaction(async (connection) => {
      const refused = await attempt(connection, async () => void (await connection.query('select 1/0')));
      const { rows } = await connection.query('select 1 as one');
      return { refused, rows };
    });
    expect(answers).toMatchObject({ refused: { severity: 'ОШИБКА', code: '22012' }, rows: [{ one: 1 }] });
  });
});
