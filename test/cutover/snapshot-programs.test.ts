/** PostgreSQL's own programs: where they connect to, whom they believe, what they are told and what they may say. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createSnapshot } from '../../cutover/snapshot/create.ts';
import { restoreSnapshot } from '../../cutover/snapshot/restore.ts';
import { isSameDatabase } from '../../cutover/snapshot/target.ts';
import { withLibpq } from '../../db/postgres/snapshot/libpq.ts';
import { findTools, runTool } from '../../db/postgres/snapshot/tools.ts';
import { asSuperuser, createDatabase, dropDatabase, newDatabaseName } from '../support/databases.ts';
import { startTlsServer } from '../support/tls.ts';
import { eventually } from '../support/wait.ts';
import { newFolder, openWorld, servers } from './snapshot-support.ts';

const PASSWORD = 'planted-password';
const at = (port: number, query: string): string =>
  `postgres://auth:${PASSWORD}@localhost:${port}/auth?${query}`;

describe('what libpq is told of a URL is what the driver makes of it', () => {
  const file = join(newFolder(), 'authority.pem');
  writeFileSync(file, 'looked at by none of these');

  test.each([
    ['sslmode=disable', 'disable'],
    ['ssl=true', 'verify-full'],
    ['sslmode=require', 'verify-full'],
    ['sslmode=verify-full', 'verify-full'],
    ['sslmode=no-verify', 'require'],
    ['uselibpqcompat=true&sslmode=require', 'require'],
    [`uselibpqcompat=true&sslmode=verify-ca&sslrootcert=${file}`, 'verify-ca'],
  ])('"%s" is %s', async (query, mode) => {
    await withLibpq(at(5432, query), async ({ env }) => expect(env['PGSSLMODE']).toBe(mode));
  });

  test('the authorities are those of this process, in a file for as long as it is needed', async () => {
    const path = await withLibpq(at(5432, 'ssl=true'), async ({ env }) => {
      const { PGSSLROOTCERT = '' } = env;
      expect(readFileSync(PGSSLROOTCERT, 'utf8')).toBe(getCACertificates('default').join('\n'));
      return PGSSLROOTCERT;
    });
    expect(existsSync(path)).toBe(false);
  });

  test('where the URL wants none of them, libpq finds none in the home folder either', async () => {
    await withLibpq(at(5432, `sslmode=no-verify&sslrootcert=${file}`), async ({ env }) =>
      expect(existsSync(env['PGSSLROOTCERT'] ?? file)).toBe(false),
    );
  });

  test('or those that the URL names', async () => {
    const url = at(5432, `sslmode=verify-full&sslrootcert=${file}`);
    await withLibpq(url, async ({ env }) => expect(env['PGSSLROOTCERT']).toBe(file));
  });

  test.each([
    'postgres://auth:planted-password@/auth%20db?host=/run/postgresql&port=5433&connect_timeout=7',
    'postgres:///auth%20db?host=/run/postgresql&port=5433&user=auth&password=planted-password&connect_timeout=7',
  ])('all of it is read wherever it stands, and only the database is an argument: %s', async (url) => {
    await withLibpq(url, async ({ dbname, env }) => {
      expect(dbname).toBe('postgresql:///auth%20db');
      expect(env).toMatchObject({
        PGHOST: '/run/postgresql',
        PGPORT: '5433',
        PGUSER: 'auth',
        PGPASSWORD: PASSWORD,
        PGCONNECT_TIMEOUT: '7',
      });
    });
  });

  test('two URLs lead to the same database, however they are written', () => {
    const url = 'postgres://auth@/auth?host=/run/postgresql';
    expect(isSameDatabase('postgres', url, 'postgres:///auth?host=/run/postgresql&user=x')).toBe(true);
    expect(isSameDatabase('postgres', url, 'postgres:///auth?host=/run/other&user=x')).toBe(false);
  });
});

const installed = await findTools(process.env, 0);

describe.each(installed === null ? [] : [installed.dump])('%s', (program) => {
  const dumping = (
    url: string,
    authorities: readonly string[] = [],
    signal = new AbortController().signal,
  ): Promise<void> =>
    withLibpq(
      url,
      ({ dbname, env }) =>
        runTool(program, ['--no-password', `--dbname=${dbname}`, '--file=/dev/null'], { env, signal }),
      () => authorities,
    );

  test('with ssl=true it tells a server without TLS nothing', async () => {
    const { port, told } = await startPlainServer();
    await expect(dumping(at(port, 'ssl=true'))).rejects.toThrow(
      /^pg_dump failed \(1\): connection to .* failed: .*SSL/,
    );
    expect(told()).not.toContain('auth');
    // It asks for the password, and would take it.
    await expect(dumping(at(port, 'sslmode=disable'))).rejects.toThrow(/^pg_dump failed/);
    expect(told()).toContain(PASSWORD);
  });

  test.each([
    ['of an authority that nobody knows', 'localhost', false],
    ['of another host', 'db.example.test', true],
  ])('with sslmode=require it tells a server with a certificate %s nothing', async (_, host, isKnown) => {
    const server = await startTlsServer(host, { greets: true });
    const authorities = isKnown ? [readFileSync(server.authorityFile, 'utf8')] : [];
    await expect(dumping(at(server.port, 'sslmode=require'), authorities)).rejects.toThrow(
      /^pg_dump failed \(1\): connection to .* failed: /,
    );
    expect(server.begun()).toBe(1);
    expect(server.told()).toHaveLength(0);
  });

  test('with sslmode=verify-full it believes whom the driver believes', async () => {
    const server = await startTlsServer('localhost', { greets: true });
    const authorities = [readFileSync(server.authorityFile, 'utf8')];
    const controller = new AbortController();
    const url = at(server.port, 'sslmode=verify-full');
    const ended = expect(dumping(url, authorities, controller.signal)).rejects.toThrow();
    try {
      await eventually(() => expect(server.told().toString()).toContain('auth'));
    } finally {
      controller.abort();
      await ended;
    }
  });
});

/** Without TLS, which asks for the password in clear. */
async function startPlainServer(): Promise<{ readonly port: number; readonly told: () => string }> {
  let told = '';
  const asksForPassword = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      told += chunk.toString('latin1');
      const isSslRequest = chunk.length === 8;
      if (isSslRequest) socket.write('N');
      else if (told.includes(PASSWORD)) socket.end();
      else socket.write(asksForPassword);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  return { port: (server.address() as AddressInfo).port, told: () => told };
}

describe('programs that fail', async () => {
  const [target] = servers();
  const world = await openWorld(target);

  /** A folder of them: pg_dump writes an archive, pg_restore is the given script. */
  function programs(scripts: { readonly dump?: string; readonly restore: string }): NodeJS.ProcessEnv {
    const folder = newFolder();
    const dump = `for each; do case "$each" in
      --version) echo "pg_dump (PostgreSQL) ${target?.major}.0"; exit 0;;
      --file=*) env > "\${each#--file=}";;
    esac; done
    ${scripts.dump ?? ''}`;
    for (const [name, text] of Object.entries({ pg_dump: dump, pg_restore: scripts.restore })) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(folder, name), 0o700);
    }
    return { PG_BIN: folder };
  }

  const NOT_CONNECTED =
    'echo \'pg_restore: error: connection to server at "db", port 5432 failed: SSL error: unknown CA\' >&2; exit 1';
  const QUOTES_A_ROW = 'echo "pg_dump: error: query failed: ERROR: planted row" >&2; exit 3';

  test('a database that pg_restore does not get into keeps what it holds, and why is told', async () => {
    const env = programs({ restore: NOT_CONNECTED });
    const context = { ...world.context, env };
    const { name } = await createSnapshot(context, world);
    const database = newDatabaseName();
    const url = await createDatabase(target?.url ?? '', database);
    try {
      await asSuperuser(url, 'create table theirs as select 1 as thing');
      const request = { ...world, name, into: 'postgres', url, replace: { confirm: database } } as const;
      await expect(restoreSnapshot(context, request)).rejects.toMatchObject({
        name: 'ToolFailed',
        isConnection: true,
        message:
          'pg_restore failed (1): connection to server at "db", port 5432 failed: SSL error: unknown CA',
      });
      expect(await asSuperuser(url, 'select thing from theirs')).toEqual([{ thing: 1 }]);
    } finally {
      await dropDatabase(target?.url ?? '', database);
    }
  });

  test('what else they say stays untold, and they know none of our secrets', async () => {
    process.env['AUTH_SECRETS'] = 'v1:planted-secret';
    onTestFinished(() => void delete process.env['AUTH_SECRETS']);
    const failing = { ...world.context, env: programs({ dump: QUOTES_A_ROW, restore: '' }) };
    await expect(createSnapshot(failing, world)).rejects.toMatchObject({
      name: 'ToolFailed',
      isConnection: false,
      message: 'pg_dump failed (3)',
    });
    const { path } = await createSnapshot({ ...world.context, env: programs({ restore: '' }) }, world);
    const known = readFileSync(join(path, 'postgres', 'database.dump'), 'utf8');
    expect(known).toContain('PGHOST=');
    expect(known).not.toContain('planted-secret');
  });
});
