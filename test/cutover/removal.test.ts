/**
 * When the move is over, `cutover/` and MongoDB's side can go: deletes them from a copy of the repository, changes the
 * lines that `removal/changes.ts` names, and shows that a plain service on PostgreSQL is left.
 */
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { CHANGES, REPLACEMENTS } from './removal/changes.ts';
import { copyRepository, removeCutover } from './removal/copy.ts';
import { DELETIONS } from './removal/deletions.ts';

/** The service's tests there: servers, then hundreds of requests. */
const PATIENT = { timeout: 400_000 };

const FOLDERS = ['src', 'plugins', 'db', 'test'];

const folder = copyRepository();
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(() => removeCutover(folder));

test('the instructions name all that goes, is replaced or changes, besides tests', () => {
  const readme = readFileSync(new URL('../../cutover/README.md', import.meta.url), 'utf8');
  const [, steps = ''] = readme.split('## How to delete all this');
  const named = [...steps.matchAll(/`([^`\s]+?)\/?`/g)].map(([, path = '']) => path);
  const all = [...DELETIONS, ...Object.keys(REPLACEMENTS), ...CHANGES.map(({ file }) => file)];
  const wanted = new Set(all.filter((path) => !path.startsWith('test/')));
  const missing = [...wanted].filter((path) => !named.some((name) => `/${path}`.endsWith(`/${name}`)));
  expect(missing).toEqual([]);
});

test('nothing that the service runs knows of MongoDB or of the move', () => {
  const seen = new Set<string>();
  const foreign = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const name of importsOf(file)) {
      if (name.startsWith('.')) visit(relative(folder, join(folder, dirname(file), name)));
      else foreign.add(name);
    }
  };
  visit('src/server.ts');
  visit('src/migrate.ts');
  expect([...seen].length).toBeGreaterThan(100);
  expect([...seen].filter((file) => /mongo|cutover|canonical/.test(file))).toEqual([]);
  expect([...foreign].filter((name) => /mongo|copy-streams|pg-boss/.test(name))).toEqual([]);
});

test('it builds, and the linter has nothing to say', PATIENT, async () => {
  await npx(['biome', 'format', '--write', ...FOLDERS]);
  await npx(['tsc']);
  await npx(['biome', 'check', '--error-on-warnings', ...FOLDERS]);
});

test('its HTTP suite and the tests about the code itself pass', PATIENT, async () => {
  const output = await npx(['vitest', 'run', 'test/http', 'test/code']);
  expect(output).toMatch(/Test Files {2}\d+ passed/);
});

/** Names of the modules that a file of the copy imports, types too. */
function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(folder, file), 'utf8');
  return [...text.matchAll(/^(?:import|export)\b[^;]*?from '([^']+)'/gm)].map(([, name]) => name ?? '');
}

/** Runs a tool in the copy; what it printed. Throws that when it fails. */
async function npx(command: readonly string[]): Promise<string> {
  const [tool = '', ...args] = command;
  const inherited = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_|TEST_REPORT)/.test(name));
  const child = spawn(join(folder, 'node_modules/.bin', tool), args, {
    cwd: folder,
    env: { ...Object.fromEntries(inherited), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A test that ran out of time leaves nobody behind.
  onTestFinished(() => void child.kill());
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${output}`);
  return output;
}
