import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test, vi } from 'vitest';
import { descendantsOf, type ProcessRow, signal } from '../../db/embedded/processes.ts';
import { familyOf } from '../support/family.ts';
import { allGone, type Launched, launch } from '../support/processes.ts';
import { eventually } from '../support/wait.ts';

// Whole processes with databases of their own, beside all other tests on the same cores.
vi.setConfig({ testTimeout: 180_000 });
const PATIENT = { timeoutMs: 60_000 } as const;

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = join(root, 'src/dev.ts');
const node = process.execPath;

/** What the tests' own environment configures must not reach the service. */
const clean = {
  DATABASE_URL: '',
  MONGO_URL: '',
  SMTP_URL: '',
  AUTH_SECRETS: '',
  JWT_KEYS: '',
  BCRYPT_COST: '4',
  // A machine may be busy.
  STORE_TIMEOUT: '20s',
};

function dev(args: readonly string[], env: Readonly<Record<string, string>> = {}): Launched {
  return launch(node, [script, ...args], { env: { ...clean, PORT: '0', ...env } });
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dev-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function urlOf(run: Launched): Promise<string> {
  const [, url = ''] = await run.sees(/^ {2}service +(http:\S+)$/m);
  await run.sees(/Ctrl-C stops everything/);
  return url;
}

/** The service process, its watchdog and all servers: the watchdog is a child, in a session of its own. */
function everything(pid: number): readonly ProcessRow[] {
  const processes = familyOf(pid);
  expect(processes.length).toBeGreaterThan(5);
  return processes;
}

async function signUp(url: string, email: string): Promise<number> {
  const body = JSON.stringify({ email, name: 'Ada', password: 'correct horse battery' });
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${url}/auth/signup`, { method: 'POST', headers, body })).status;
}

async function logIn(url: string, email: string): Promise<number> {
  const body = JSON.stringify({ email, password: 'correct horse battery' });
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${url}/auth/login`, { method: 'POST', headers, body })).status;
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

test('serves from an empty folder, tells what it runs on, and Ctrl-C stops it all', async () => {
  const dataDir = newFolder();
  const run = dev(['--data', dataDir]);
  const url = await urlOf(run);
  expect(await (await fetch(`${url}/livez`)).status).toBe(200);
  expect(await (await fetch(`${url}/docs/json`)).json()).toHaveProperty('openapi');
  expect(await signUp(url, 'ada@example.com')).toBe(201);
  const inbox = await eventually(async () => {
    const text = await (await fetch(`${url}/dev/inbox`, { headers: { accept: 'application/json' } })).text();
    expect(text).toContain('ada@example.com');
    return text;
  }, PATIENT);
  expect(inbox).toContain('verify-email');

  const banner = run.output();
  expect(banner).toContain('configured mongo-only, effective mongo-only');
  expect(banner).toMatch(
    /MongoDB side +(MongoDB \d\S+ on|SecantusDB \S+ \(MongoDB-wire compatible, not MongoDB\) on)/,
  );
  expect(banner).toMatch(/PostgreSQL 18\.\d+ on 127\.0\.0\.1:\d+/);
  expect(banner).toContain(dataDir);
  expect(banner).not.toContain(String.fromCharCode(27));
  expect(statSync(join(dataDir, 'secrets.json')).mode & 0o777).toBe(0o600);
  const secrets = JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8'));
  expect(banner).not.toContain(secrets.AUTH_SECRETS);

  const processes = everything(run.pid);
  // Ctrl-C: the terminal signals the whole foreground process group.
  process.kill(-run.pid, 'SIGINT');
  expect(await run.exited).toBe(0);
  await allGone(processes, 1_000);
});

test('keeps the data between runs, also when one is killed, and a second at once is told why it cannot', async () => {
  const dataDir = newFolder();
  const first = dev(['--data', dataDir]);
  const url = await urlOf(first);
  expect(await signUp(url, 'grace@example.com')).toBe(201);

  const second = dev(['--data', dataDir]);
  expect(await second.exited).toBe(1);
  expect(second.output()).toMatch(
    new RegExp(`^${dataDir}/\\w+ is in use by another run \\(process ${first.pid}\\): .*$`, 'm'),
  );
  expect(second.output()).not.toMatch(/^\s+at /m);

  const processes = everything(first.pid);
  signal(first.pid, 'SIGKILL');
  const third = dev(['--data', dataDir]);
  expect(await logIn(await urlOf(third), 'grace@example.com')).toBe(200);
  await allGone(processes);
  signal(third.pid, 'SIGTERM');
  expect(await third.exited).toBe(0);
});

test('two ephemeral runs at once work side by side and leave nothing', async () => {
  const runs = [dev(['--ephemeral']), dev(['--ephemeral'], { BACKEND_MODE: 'postgres-only' })];
  const urls = await Promise.all(runs.map(urlOf));
  expect(new Set(urls).size).toBe(2);
  expect(await Promise.all(urls.map((url) => signUp(url, 'both@example.com')))).toEqual([201, 201]);
  expect(runs[1]?.output()).toContain('configured postgres-only');
  const processes = runs.flatMap((run) => everything(run.pid));
  const ours = [...new Set(processes.flatMap(temporaryFoldersOf))];
  expect(ours).toHaveLength(4);
  for (const run of runs) signal(run.pid, 'SIGINT');
  expect(await Promise.all(runs.map((run) => run.exited))).toEqual([0, 0]);
  await allGone(processes, 1_000);
  expect(temporaryFolders().filter((name) => ours.includes(name))).toEqual([]);
});

test('kill -9 of npm, or of the shell that runs it, leaves nothing behind', async () => {
  const shell = launch('sh', ['-c', 'npm run dev -- --ephemeral; echo over'], {
    cwd: root,
    env: { ...clean, PORT: '0' },
  });
  await urlOf(shell);
  const processes = everything(shell.pid);
  signal(shell.pid, 'SIGKILL');
  await allGone(processes);
});

test('Ctrl-C while it is starting stops what was started so far', async () => {
  const run = dev(['--ephemeral']);
  const watchdog = await eventually(() => {
    const [first] = descendantsOf(run.pid);
    if (first === undefined || descendantsOf(first).length === 0)
      throw new Error('no server is being started yet');
    return first;
  }, PATIENT);
  const processes = familyOf(watchdog);
  signal(run.pid, 'SIGINT');
  expect(await run.exited).toBe(0);
  await allGone(processes);
});

test('a port that is taken is said in one line, before any database is started', async () => {
  const other = await listenOn(0);
  afterAll(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const run = dev(['--data', join(newFolder(), 'never-made')], { PORT: String(port) });
  expect(await run.exited).toBe(1);
  const lines = run.output().trim().split('\n');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`port ${port} is in use`);
});

test('a wrong configuration is refused with one line per problem, before any database is started', async () => {
  const dataDir = newFolder();
  const run = dev(['--data', dataDir], { BACKEND_MODE: 'sideways', BCRYPT_COST: '99' });
  expect(await run.exited).toBe(2);
  expect(
    run
      .output()
      .trim()
      .split('\n')
      .map((line) => line.split(':')[0])
      .sort(),
  ).toEqual(['BACKEND_MODE', 'BCRYPT_COST']);
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
});

test('it does not run in production', async () => {
  const run = dev(['--ephemeral'], { NODE_ENV: 'production' });
  expect(await run.exited).toBe(2);
  await run.sees(/^NODE_ENV: is production/m);
});

test('unknown options are refused, and --help names every option and what it embeds', async () => {
  const wrong = dev(['--epheremal']);
  expect(await wrong.exited).toBe(2);
  expect(wrong.output()).toContain("'--epheremal'");
  const help = dev(['--help']);
  expect(await help.exited).toBe(0);
  for (const word of [
    '--ephemeral',
    '--data',
    'DATABASE_URL',
    'MONGO_URL',
    'SMTP_URL',
    '/dev/inbox',
    'PORT',
  ]) {
    expect(help.output()).toContain(word);
  }
});

/** Those the process was started with; other tests have theirs at the same time. */
function temporaryFoldersOf({ pid }: ProcessRow): readonly string[] {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return [...command.matchAll(/auth-cutover-[^/\0]+/g)].map(([name]) => name);
  } catch {
    return [];
  }
}

function temporaryFolders(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('auth-cutover-'));
}
