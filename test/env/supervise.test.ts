import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, inject, test, vi } from 'vitest';
import { startPostgres } from '../../db/embedded/postgres.ts';
import { type ProcessRow, readProcess, signal } from '../../db/embedded/processes.ts';
import { DataInUse } from '../../db/embedded/supervise.ts';
import { asSuperuser } from '../support/databases.ts';
import { familyOf } from '../support/family.ts';
import { allGone, type Launched, launch } from '../support/processes.ts';
import { eventually } from '../support/wait.ts';

// Whole processes with databases of their own, beside all other tests on the same cores.
vi.setConfig({ testTimeout: 120_000 });

const parentScript = fileURLToPath(new URL('./fixtures/parent.ts', import.meta.url));
const log = (): void => {};
/** Of the server that is started here. */
const major = inject('postgresServers')[0]?.major;

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'supervise-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Started {
  readonly postgres: number;
  readonly mongo: number | null;
  readonly url: string;
}

async function started(parent: Launched): Promise<Started> {
  const [line] = await parent.sees(/^\{.*\}$/m);
  return JSON.parse(line);
}

/** The servers with everything below them, and their watchdog. */
function serverFamily({ postgres, mongo }: Started): readonly ProcessRow[] {
  const watchdog = readProcess(readProcess(postgres)?.parentPid ?? 0);
  if (watchdog === null || watchdog.pid === 1) throw new Error('nobody watches over the servers');
  return [watchdog, ...familyOf(postgres), ...(mongo === null ? [] : familyOf(mongo))];
}

/** The temporary folder a server runs in: it is its working directory's parent or that itself. */
function temporaryFolderOf(pid: number): string {
  const [, folder] =
    /(\/[^\0]*auth-cutover-[^/\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? [];
  if (folder === undefined) throw new Error('not in a temporary folder');
  return folder;
}

test('kill -9 of the parent takes every server and every temporary folder along', async () => {
  const parent = launch(process.execPath, [parentScript, inject('toolsDir')]);
  const servers = await started(parent);
  const processes = serverFamily(servers);
  const folders = [servers.postgres, servers.mongo].filter((pid) => pid !== null).map(temporaryFolderOf);
  expect(processes.length).toBeGreaterThan(5);
  expect(folders.map(existsSync)).toEqual([true, true]);
  signal(parent.pid, 'SIGKILL');
  await allGone(processes);
  await eventually(() => expect(folders.map(existsSync)).toEqual([false, false]), { timeoutMs: 60_000 });
});

test('kill -9 of the whole process group, shell and all, does too', async () => {
  const command = `"${process.execPath}" "${parentScript}" "${inject('toolsDir')}"; true`;
  const shell = launch('sh', ['-c', command]);
  const processes = serverFamily(await started(shell));
  process.kill(-shell.pid, 'SIGKILL');
  await allGone(processes);
});

test('the servers go even when the watchdog is killed first, a MongoDB that does not stop by itself too', async () => {
  const parent = launch(process.execPath, [parentScript, inject('toolsDir')]);
  const servers = await started(parent);
  const processes = serverFamily(servers);
  const folder = temporaryFolderOf(servers.postgres);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  if (servers.mongo !== null) {
    const mongoFolder = temporaryFolderOf(servers.mongo);
    afterAll(() => rmSync(mongoFolder, { recursive: true, force: true }));
  }
  if (servers.mongo !== null) signal(servers.mongo, 'SIGSTOP');
  signal(readProcess(servers.postgres)?.parentPid ?? 0, 'SIGKILL');
  await allGone(processes);
  signal(parent.pid, 'SIGKILL');
});

test('a folder has one run at a time, and the next one finds the data, after kill -9 too', async () => {
  const dataDir = newFolder();
  const first = launch(process.execPath, [parentScript, inject('toolsDir'), dataDir]);
  const { url } = await started(first);
  await asSuperuser(url, 'create table kept (word text)');
  await asSuperuser(url, "insert into kept values ('here')");

  await expect(startPostgres({ dataDir, log })).rejects.toThrow(DataInUse);
  await expect(startPostgres({ dataDir, log })).rejects.toThrow(String(first.pid));

  signal(first.pid, 'SIGKILL');
  // At once, while the watchdog is still stopping the server.
  const second = await startPostgres({ dataDir, log });
  expect(await asSuperuser(second.url, 'select word from kept')).toEqual([{ word: 'here' }]);
  await second.stop();
});

test("what a power cut leaves behind does not block the next start, even if another process has the server's number; the password is its owner's alone", async () => {
  const dataDir = newFolder();
  const first = await startPostgres({ dataDir, log });
  await first.stop();
  // Its owner's alone.
  expect(statSync(join(dataDir, 'postgres-password')).mode & 0o777).toBe(0o600);
  const cluster = join(dataDir, `postgres-${major}`);
  writeFileSync(join(cluster, 'postmaster.pid'), `${process.pid}\n${cluster}\n1\n1\n\n127.0.0.1\n`);
  writeFileSync(join(dataDir, 'holder.json'), JSON.stringify({ pid: process.pid, startedAt: 'long ago' }));
  const second = await startPostgres({ dataDir, log });
  expect(second.pid).not.toBe(first.pid);
  await second.stop();
});

test('a half-made data folder is made anew', async () => {
  const dataDir = newFolder();
  // Where whoever made it was killed: with its password, and some of its files.
  const draft = join(dataDir, `postgres-${major}.new`);
  mkdirSync(join(draft, 'base'), { recursive: true });
  writeFileSync(join(draft, 'PG_VERSION'), '');
  writeFileSync(join(dataDir, 'postgres-password'), 'of the first try', { mode: 0o600 });
  const server = await startPostgres({ dataDir, log });
  expect(await asSuperuser(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(existsSync(draft)).toBe(false);
  await server.stop();
});
