/** A process that does not get as far as to listen: stopped before, or unable to. */
import { createServer, type Server } from 'node:net';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { MIGRATION_LOCK } from '../../db/postgres/migrate.ts';
import { asSuperuser } from '../support/databases.ts';
import { startInbox } from '../support/inbox.ts';
import { durableStoreEnv, productionEnv, spawnService } from '../support/service.ts';
import { ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

/** Processes that start take long on a machine that does other things as well. */
const PATIENT = { timeout: 60_000 };

const inbox = await startInbox();
const stores = await durableStoreEnv('postgres-only', await ownPostgres());
const env = productionEnv(stores, inbox);
const url = env['DATABASE_URL'] ?? '';

/** Instances that a change of authority would wait for. */
const leases = () => asSuperuser(url, 'select * from cutover_leases');

test(
  'SIGTERM while the schema is brought up to date: it ends before it listens, with exit code 0',
  PATIENT,
  async () => {
    const migrator = new pg.Client({ connectionString: url });
    migrator.on('error', () => {});
    await migrator.connect();
    await migrator.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const service = spawnService({ ...env, SHUTDOWN_DELAY: '5m' });
    await eventually(
      async () => {
        const waiting = "select from pg_locks where locktype = 'advisory' and not granted";
        expect(await asSuperuser(url, waiting)).toHaveLength(1);
      },
      { timeoutMs: 30_000 },
    );
    service.kill('SIGTERM');
    await eventually(() => expect(service.output()).toContain('"reason":"SIGTERM"'));
    await migrator.end();
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(service.output()).not.toContain('listening at');
    expect(service.errors()).toBe('');
    expect(await leases()).toEqual([]);
  },
);

test('a database whose sessions look at no foreign key: told, and nothing is served', PATIENT, async () => {
  const name = new URL(url).pathname.slice(1);
  await asSuperuser(url, `alter database ${name} set session_replication_role = replica`);
  onTestFinished(async () => {
    await asSuperuser(url, `alter database ${name} reset session_replication_role`);
  });
  const service = spawnService(env);
  expect(await service.exited).toEqual({ code: 1, signal: null });
  expect(service.errors()).toContain('session_replication_role = replica: set it to origin');
  expect(await leases()).toEqual([]);
});

async function takenPort(): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

test.each(['PORT', 'ADMIN_PORT'])(
  '%s in use: one line on stderr and one in the log, exit code 1, and no lease is left',
  PATIENT,
  async (name) => {
    const port = await takenPort();
    const service = spawnService({ ...env, [name]: String(port) });
    expect(await service.exited).toEqual({ code: 1, signal: null });
    expect(service.errors()).toBe(
      `cannot start: listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
    );
    const fatal = service
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{"level":60'));
    expect(fatal.map((line) => JSON.parse(line))).toMatchObject([
      { msg: 'cannot start', err: { code: 'EADDRINUSE' } },
    ]);
    expect(await leases()).toEqual([]);
  },
);
