import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isRunning } from '../../db/embedded/processes.ts';
import { familyOf } from '../support/family.ts';
import { inherited } from '../support/inherited.ts';
import { eventually } from '../support/wait.ts';

const ENTRY = fileURLToPath(new URL('./run.ts', import.meta.url));
/** On a machine that does much else. */
const TIMEOUT_MS = 240_000;

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout(): string;
  stderr(): string;
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'demo-test-'));
});
afterEach(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

function start(...args: readonly string[]): Run {
  const env = { ...inherited(), TMPDIR: folder };
  const child = spawn(process.execPath, [ENTRY, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => {
      out[name] += chunk.toString();
    });
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, ended, stdout: () => out.stdout, stderr: () => out.stderr };
}

describe('npm run demo', () => {
  it('walks the whole ladder in its short form, and it holds', { timeout: TIMEOUT_MS }, async () => {
    const run = start('--seconds', '6', '--rate', '10', '--json');
    const code = await run.ended;
    const result = JSON.parse(run.stdout() || 'null');
    expect({ code, problems: result?.problems, shown: code === 0 ? '' : run.stderr() }).toEqual({
      code: 0,
      problems: [],
      shown: '',
    });
    expect(result).toMatchObject({
      holds: true,
      traffic: { failed: 0 },
      moves: [
        { from: 'mongo-only', to: 'dual-write', takenBack: [] },
        { from: 'dual-write', to: 'shadow-read', takenBack: [] },
        // Within its fence a busy machine may be too slow.
        { from: 'shadow-read', to: 'postgres-primary', pauseMs: expect.any(Number) },
        { from: 'postgres-primary', to: 'postgres-only', takenBack: [] },
      ],
      replaced: [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
      verified: [{ clean: true }, { clean: true }, { clean: true }],
    });
    expect(result.copied).toBeGreaterThan(0);
    for (const { was, is } of result.replaced) expect(was).not.toBe(is);
    // What differs from the defaults is said, before anything happens.
    expect(result.environment).toMatchObject({
      STORE_TIMEOUT: '10s',
      SHUTDOWN_DELAY: '3000ms',
      BCRYPT_COST: '10',
      REFRESH_LEEWAY: '1000ms',
      LIMIT_LOGIN_ADDRESS: expect.any(String),
    });
    for (const [key, value] of Object.entries({ ...result.settings, ...result.environment })) {
      expect(run.stderr()).toContain(`for this run: ${key} ${value} instead of `);
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['interrupted', 'SIGINT', 130],
    ['killed', 'SIGKILL', null],
  ] as const)('leaves nothing behind when it is %s', { timeout: TIMEOUT_MS }, async (_, name, code) => {
    const run = start('--seconds', '60', '--rate', '5');
    await eventually(() => run.stdout().includes('three instances serve'), { timeoutMs: TIMEOUT_MS });
    const family = familyOf(run.child.pid ?? 0);
    // The watchdog, both servers and their children, three instances.
    expect(family.length).toBeGreaterThan(5);
    run.child.kill(name);
    expect(await run.ended).toBe(code);
    await eventually(() => !family.some(isRunning), { timeoutMs: TIMEOUT_MS });
    await eventually(async () => expect(await readdir(folder)).toEqual([]), { timeoutMs: TIMEOUT_MS });
  });

  it('refuses an option that makes no sense', async () => {
    const run = start('--seconds', 'soon');
    expect(await run.ended).toBe(2);
    expect(run.stderr()).toContain('--seconds must be a number from 5 to 3600');
    expect(await readdir(folder)).toEqual([]);
  });
});
