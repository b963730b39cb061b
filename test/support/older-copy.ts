/** A PostgreSQL that goes on from an older copy of another's data, as a standby that lagged and was promoted does. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PostgresServer, startPostgres } from '../../db/embedded/postgres.ts';
import { asSuperuser } from './databases.ts';
import type { OnEnd } from './stores.ts';
import { eventually } from './wait.ts';

export interface Fork {
  /** The one that was there first, and goes on. */
  readonly server: PostgresServer;
  /** Starts the other, which has what `prepare` has left, and resolves once it takes writes. */
  promote(): Promise<PostgresServer>;
}

/** `prepare` is what both have: it is done before the copy is taken. */
export async function forked(
  onEnd: OnEnd,
  prepare: (server: PostgresServer) => Promise<void>,
): Promise<Fork> {
  const root = mkdtempSync(join(tmpdir(), 'auth-cutover-fork-'));
  onEnd(async () => rmSync(root, { recursive: true, force: true }));
  const [first, second] = [join(root, 'first'), join(root, 'second')];
  const running: PostgresServer[] = [];
  // Registered here, for whoever promotes within a test.
  onEnd(async () => void (await Promise.all(running.map((server) => server.stop()))));
  // What they lose, they lose by the copy.
  const start = async (dataDir: string): Promise<PostgresServer> => {
    const server = await startPostgres({ dataDir, durable: false, log: () => {} });
    running.push(server);
    return server;
  };
  const before = await start(first);
  await prepare(before);
  await before.stop();
  running.pop();
  mkdirSync(second);
  // With its owner: PostgreSQL takes no data of another's.
  execFileSync('cp', ['-a', ...readdirSync(first).map((name) => join(first, name)), second]);
  return {
    server: await start(first),
    async promote() {
      const cluster = readdirSync(second).find((name) => /^postgres-\d+$/.test(name));
      if (cluster === undefined) throw new Error('there is no copy of the data');
      // There is nothing to restore: the end of its own WAL is where it leaves the history of the first.
      appendFileSync(join(second, cluster, 'postgresql.auto.conf'), "restore_command = 'false'\n");
      writeFileSync(join(second, cluster, 'recovery.signal'), '');
      const server = await start(second);
      // It can be read before that.
      await eventually(async () => {
        const [row] = await asSuperuser<{ over: boolean }>(
          server.url,
          'select not pg_is_in_recovery() as over',
        );
        return row?.over ?? false;
      });
      return server;
    },
  };
}
