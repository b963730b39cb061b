/** What `cutover` says before it has asked any store: help, usage, configuration, and stores out of reach. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFailed, test } from 'vitest';
import { specOf, VERB_NAMES } from '../../cutover/cli/verbs.ts';
import { descendantsOf, isRunning, signal as send } from '../../db/embedded/processes.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { familyOf } from '../support/family.ts';
import { inherited } from '../support/inherited.ts';
import { eventually } from '../support/wait.ts';
import { cutover, type Ended, type Env, inside, json, SHIM, start, startOnTerminal } from './cli-program.ts';

const PLANTED = 'planted-word-nobody-may-see';
/** Nothing listens on this port. */
const NOWHERE: Env = {
  MONGO_URL: `mongodb://operator:${PLANTED}@127.0.0.1:9/auth`,
  DATABASE_URL: `postgres://operator:${PLANTED}@127.0.0.1:9/auth`,
  STORE_TIMEOUT: '300ms',
};

/** One store out of reach: what it is about, either shows, and this one is loaded sooner. */
const ONE_NOWHERE: Env = { MONGO_URL: NOWHERE['MONGO_URL'] ?? '', STORE_TIMEOUT: '300ms' };

const folder = mkdtempSync(join(tmpdir(), 'cutover-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('help', () => {
  test.each(VERB_NAMES)('%s --help tells every option, exit code and an example', async (verb) => {
    const words = verb.split(' ');
    const asked = await inside([...words, '--help']);
    expect(asked).toMatchObject({ code: 0, err: '' });
    const { options, ends, examples } = specOf(verb);
    for (const option of [...Object.keys(options), 'json', 'env-file', 'mapping', 'help']) {
      expect(asked.out).toContain(`--${option}`);
    }
    expect(asked.out.replaceAll(/\s+/g, ' ')).toContain('[--json] [--env-file FILE] [--mapping FILE]');
    expect(asked.out.match(/^ {2}\d {2}\S/gm)).toHaveLength(ends.length);
    for (const [command] of examples) expect(asked.out).toContain(command);
  });

  test('help VERB and -h are the same, whatever else is there', async () => {
    const [asked, short, named] = await Promise.all([
      inside(['users', 'erase', '--help']),
      inside(['users', 'erase', '-h', '--json', '--user', 'x']),
      inside(['help', 'users', 'erase']),
    ]);
    expect(asked.code).toBe(0);
    expect([short, named]).toEqual([asked, asked]);
  });

  test('without a verb it lists them all', async () => {
    const { code, out } = await cutover([]);
    expect(code).toBe(0);
    for (const verb of VERB_NAMES) expect(out).toContain(`  ${verb} `);
    expect((await inside(['--help'])).out).toBe(out);
    expect((await inside(['help'])).out).toBe(out);
  });

  test('--version', async () => {
    expect(await cutover(['--version'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });
});

describe('usage', () => {
  test.each([
    [['frobnicate'], /no such verb$/m],
    [['backfil'], /no such verb; did you mean: backfill, backfill list, .*backfill rollback\?$/m],
    [['--limit', 'status'], /verb comes first/],
    [['sessions'], /did you mean: sessions end/],
    [['help', 'frobnicate'], /no such verb$/m],
    [['help', 'sessions'], /did you mean: sessions end/],
    [['status', 'now'], /usage: cutover status/],
    [['status', '--frobnicate'], /--frobnicate/],
    [['promote', '--to'], /--to/],
    [['promote', '--to', 'the-moon'], /--to must be one of mongo-only/],
    [['promote', '--to='], /--to is empty/],
    [['promote', '--force'], /--force and --reason/],
    [['promote', '--reason', 'because'], /--force and --reason/],
    [['promote', '--force', '--reason', ' '], /--force and --reason/],
    [['promote', '--timeout', 'soon'], /--timeout must be a whole number/],
    [['log', '--limit', '0'], /--limit must be a whole number/],
    [['set', 'shadow-sample'], /usage: cutover set/],
    [['failover'], /--accept-loss and --reason/],
    [['failover', '--accept-loss'], /--accept-loss and --reason/],
    [['sessions', 'end'], /--user ID is needed/],
    [['users', 'erase', '--user', ''], /--user is empty/],
  ])('%j ends with 2', async (args, message) => {
    expect(await inside(args)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(message),
    });
  });

  test('with --json the complaint is an object too', async () => {
    const ended = await cutover(['promote', '--json', '--to', 'the-moon'], NOWHERE);
    expect(json('failure', ended)).toMatchObject({ verb: 'promote', outcome: 'usage' });
  });
});

describe('configuration', () => {
  test('no store at all', async () => {
    const { code, err } = await cutover(['status']);
    expect(code).toBe(2);
    expect(err).toMatch(/MONGO_URL, DATABASE_URL: both are missing/);
  });

  test.each<[Env, RegExp]>([
    [{ MONGO_URL: `http://${PLANTED}` }, /MONGO_URL: must be a URL that begins with mongodb:/],
    [{ ...NOWHERE, STORE_TIMEOUT: 'soon' }, /STORE_TIMEOUT: must be a duration/],
    [{ ...NOWHERE, MONGO_URL_FILE: '/nowhere' }, /MONGO_URL: is set, and MONGO_URL_FILE too/],
    [{ DATABASE_URL_FILE: '/nowhere' }, /DATABASE_URL_FILE: cannot be read \(ENOENT\)/],
    [
      { NODE_ENV: 'production', DATABASE_URL: `postgres://u:${PLANTED}@db.example.test/auth` },
      /DATABASE_URL: leads to another host without verified TLS/,
    ],
  ])('%#: the variable and what to do, never its value', async (env, message) => {
    const { code, out, err } = await cutover(['status'], env);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(out + err).not.toContain(PLANTED);
  });

  test('--env-file is read, and the environment wins over it', async () => {
    const file = join(folder, 'operator.env');
    writeFileSync(file, `MONGO_URL=http://${PLANTED}\nSTORE_TIMEOUT=soon\n`);
    const args = ['status', '--env-file', file];
    expect(await cutover(args)).toMatchObject({ code: 2, err: expect.stringMatching(/STORE_TIMEOUT/) });
    const { code, err } = await cutover(args, { STORE_TIMEOUT: '300ms' });
    expect(code).toBe(2);
    expect(err).toMatch(/MONGO_URL: must be a URL/);
    expect(err).not.toMatch(/STORE_TIMEOUT/);
    expect(await cutover(['status', '--env-file', join(folder, 'none')])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/--env-file cannot be read \(ENOENT\)/),
    });
  });

  test('URLs come from files too', async () => {
    const file = join(folder, 'mongo-url');
    writeFileSync(file, `${NOWHERE['MONGO_URL']}\n`);
    const { code, err } = await cutover(['status'], { MONGO_URL_FILE: file, STORE_TIMEOUT: '300ms' });
    expect(code).toBe(5);
    expect(err).toMatch(/MongoDB cannot be reached/);
  });

  test('without the packaged Node it says how to get it', async () => {
    cpSync(SHIM, join(folder, 'bin', 'cutover.js'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const { spawnSync } = await import('node:child_process');
    const { status, stderr } = spawnSync(process.execPath, [join(folder, 'bin', 'cutover.js')], {
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/the packaged Node 24 is missing; run `npm ci`/);
  });
});

describe('signals', () => {
  /** Of a Node that cannot become another program: before 22.15, or on Windows. */
  const OLDER = ['--import', 'data:text/javascript,delete process.execve'];

  test('the process that is started becomes the program, so that every signal reaches it', async () => {
    const watching = start(['status', '--watch'], ONE_NOWHERE);
    await watching.sees(/cannot be reached/);
    expect(descendantsOf(watching.pid)).toEqual([]);
    watching.kill('SIGKILL');
    // Not before whoever holds its streams has ended.
    expect((await watching.ended).code).toBeNull();
  });

  test.each([
    ['SIGTERM', 0],
    ['SIGKILL', null],
  ] as const)('where it cannot, the program ends with its shim, at %s too', async (signal, code) => {
    const watching = start(['status', '--watch'], ONE_NOWHERE, OLDER);
    await watching.sees(/cannot be reached/);
    const [, program] = familyOf(watching.pid);
    if (program === undefined) throw new Error('there is no program below the shim');
    onTestFailed(() => void (isRunning(program) && send(program.pid, 'SIGKILL')));
    watching.kill(signal);
    expect((await watching.ended).code).toBe(code);
  });
});

describe('stores out of reach', () => {
  const expectUnreachable = (ended: Ended) => {
    expect(json('failure', ended)).toMatchObject({ outcome: 'unreachable', exitCode: 5 });
    expect(ended.err).toMatch(/MongoDB .*MONGO_URL/);
    expect(ended.err).toMatch(/PostgreSQL .*DATABASE_URL/);
    for (const shown of [ended.out, ended.err]) {
      expect(shown).not.toContain(PLANTED);
      expect(shown).not.toMatch(/operator:|\n\s+at /);
    }
  };

  test('status ends with 5, names them, and shows no secret', async () => {
    expectUnreachable(await cutover(['status', '--json'], NOWHERE));
  });

  test.each([[['promote']], [['users', 'erase', '--user', '64f0c0ffee0123456789abcd']]])(
    '%j does the same',
    async (words) => {
      const [mongo, postgres] = await Promise.all([
        openMongoStore({ url: NOWHERE['MONGO_URL'] ?? '', timeoutMs: 300, emailKeyPass: false }),
        openPostgresStore({ url: NOWHERE['DATABASE_URL'] ?? '', timeoutMs: 300 }),
      ]);
      const close = async () => void (await Promise.all([mongo.close(), postgres.close()]));
      expectUnreachable(
        await inside([...words, '--json'], async () => ({
          stores: { mongo, postgres },
          configuredMode: null,
          close,
        })),
      );
    },
  );

  test('a second Ctrl-C ends at once what the first one could not end', async () => {
    // Takes connections, and never says a word.
    const sockets = new Set<Socket>();
    const mute = createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = mute.address() as AddressInfo;
      const env = { MONGO_URL: `mongodb://127.0.0.1:${port}/auth`, STORE_TIMEOUT: '60s' };
      const moving = start(['promote'], env);
      let isOver = false;
      const ended = moving.ended.finally(() => {
        isOver = true;
      });
      await eventually(() => sockets.size > 0);
      await eventually(() => {
        moving.kill('SIGINT');
        return isOver;
      });
      expect(await ended).toMatchObject({ code: 4, out: '', err: expect.stringMatching(/ended at once/) });
    } finally {
      for (const socket of sockets) socket.destroy();
      mute.close();
    }
  });

  /** In a shell, whose words follow the command. */
  const inShell = (words: string, env: Env = {}) =>
    new Promise<{ readonly code: unknown; readonly out: string; readonly err: string }>((resolve) => {
      const command = ['-c', words, 'sh', process.execPath, '--', SHIM];
      execFile('sh', command, { env: { ...inherited(), ...env } }, (error, out, err) =>
        resolve({ code: error === null ? 0 : error.code, out, err }),
      );
    });

  test('what cannot be written is told, and is no success', async () => {
    const lost = { code: 1, err: 'cutover: what was found could not be written (ENOSPC)\n' };
    expect(await inShell('"$@" help >/dev/full')).toMatchObject(lost);
    expect(await inShell(`"$@" snapshot list --json --dir ${folder} >/dev/full`)).toMatchObject(lost);
    const unreachable = await inShell('"$@" status --json >/dev/full', ONE_NOWHERE);
    expect(unreachable).toMatchObject({ code: 5, err: expect.stringContaining(lost.err) });
  });

  test('status --watch ends when nobody reads it any more', async () => {
    const { out, err } = await inShell(
      '{ "$@" status --watch --json; echo "ended with $?" >&2; } | head -n 1',
      ONE_NOWHERE,
    );
    expect(JSON.parse(out)).toMatchObject({ outcome: 'unreachable' });
    expect(err).toMatch(/ended with 0/);
  });

  test('what went wrong is red on a terminal, unless NO_COLOR', async () => {
    const [misused, unreachable, plain] = await Promise.all([
      startOnTerminal(['status']).ended,
      startOnTerminal(['status'], ONE_NOWHERE).ended,
      startOnTerminal(['status'], { NO_COLOR: '1' }).ended,
    ]);
    expect([misused.code, unreachable.code, plain.code]).toEqual([2, 5, 2]);
    expect(misused.out).toContain('\u001b[31m');
    expect(unreachable.out).toContain('\u001b[31m');
    expect(plain.out).not.toContain('\u001b[');
  });
});
