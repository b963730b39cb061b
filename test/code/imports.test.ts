/** The shape of the code itself: imports point one way, and nothing lies about unused. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a folder may import besides itself. Tests may import anything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  src: ['plugins', 'cutover', 'db'],
  plugins: ['cutover', 'db'],
  cutover: ['db'],
  db: [],
};

/** The files of `cutover/` that lie in none of its folders. */
const BESIDE = 'beside the folders';

/** The same for each folder of `cutover/`: what answers requests knows nothing of the verbs. */
const MAY_IMPORT_IN_CUTOVER: Readonly<Record<string, readonly string[]>> = {
  instance: ['protocol', BESIDE],
  shadow: ['protocol', 'instance', BESIDE],
  mirror: ['protocol', 'instance', 'shadow', BESIDE],
  foreign: ['protocol', 'instance', 'shadow', BESIDE],
  [BESIDE]: ['protocol', 'instance', 'shadow', 'mirror', 'foreign'],
  copy: ['protocol', 'instance', BESIDE],
  operator: ['protocol', 'shadow', 'foreign', BESIDE],
  snapshot: ['protocol', 'operator', BESIDE],
  preflight: ['protocol', 'operator', 'snapshot', 'copy', BESIDE],
  cli: ['protocol', 'operator', 'snapshot', 'copy', 'preflight', BESIDE],
};

/** All that `cutover/protocol` may import: it decides, and nothing in it acts. */
const PROTOCOL_MAY_IMPORT = ['cutover/mode.ts', 'cutover/settings.ts', 'db/errors.ts', 'db/records.ts'];

/** Programs and worker files: they are started by name, not imported. */
const STARTED = [
  'src/server.ts',
  'src/dev.ts',
  'src/migrate.ts',
  'src/cutover.ts',
  'src/dev/compose-secrets.ts',
  'plugins/passwords/worker.ts',
  'db/embedded/watchdog.ts',
  'db/embedded/download-mongod.ts',
];

const files = globSync('{src,plugins,cutover,db,test}/**/*.ts', { cwd: root }).filter(
  (file) => !file.includes('node_modules'),
);

/** Files of ours that a file names in an import, an export or a URL of its own. */
function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const names = [...text.matchAll(/(?:from|import\(?)\s*'(\.[^']+)'/g)].map((match) => match[1] ?? '');
  return names.map((name) => relative(root, join(root, dirname(file), name)));
}

const imports = files.flatMap((file) => importsOf(file).map((target) => ({ file, target })));

test('imports point one way: src → plugins → cutover → db', () => {
  const wrong = imports.filter(({ file, target }) => {
    const [from = '', to = ''] = [file.split('/')[0], target.split('/')[0]];
    return from !== to && MAY_IMPORT[from]?.includes(to) === false;
  });
  expect(wrong).toEqual([]);
});

/** The folder of `cutover/` in which a file lies; null: it is none of `cutover/`. */
function partOf(file: string): string | null {
  const [folder, part = '', ...rest] = file.split('/');
  if (folder !== 'cutover') return null;
  return rest.length === 0 ? BESIDE : part;
}

test('within cutover/ they do, too: the verbs stand on what answers requests, and that on the decisions', () => {
  const wrong = imports.filter(({ file, target }) => {
    const [from, to] = [partOf(file), partOf(target)];
    if (from === null || from === to) return false;
    if (from === 'protocol') return !PROTOCOL_MAY_IMPORT.includes(target);
    return to !== null && MAY_IMPORT_IN_CUTOVER[from]?.includes(to) !== true;
  });
  expect(wrong).toEqual([]);
});

/** What a program needs: a test that imports a file does not make it one of the program's. */
const ofCode = (file: string) => !file.startsWith('test/');

test('every file is imported by another one of the program, or started', () => {
  const used = new Set([
    ...imports.filter(({ file }) => ofCode(file)).map(({ target }) => target),
    ...STARTED,
  ]);
  expect(files.filter((file) => ofCode(file) && !used.has(file))).toEqual([]);
});

test('every plugin of Fastify names itself, routes too, so that a missing one stops the boot', () => {
  const plugins = files.filter(
    (file) => ofCode(file) && /\bfp[<(]|: FastifyPluginAsync/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(plugins.length).toBeGreaterThan(20);
  const unnamed = plugins.filter(
    (file) => !/\bfp[<(][\s\S]*\bname: '[\w-]+'/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(unnamed).toEqual([]);
});
