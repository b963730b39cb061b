/** Nothing is exported for nobody. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Of these drizzle-kit makes the migrations. */
const READ_BY_TOOLS = ['db/postgres/schema.ts'];

/** What of the program only tests import, and why. */
const FOR_TESTS: Readonly<Record<string, string>> = {
  'cutover/cli/schemas.ts OUTPUTS':
    'what is printed is held against it, and docs/cutover-json.* are made of it',
  'cutover/cli/schemas.ts PARTS': 'the same',
  'cutover/cli/style.ts PLAIN': 'a terminal that is none',
  'cutover/copy/classify.ts COPY_REASONS': 'each has a case',
  'cutover/preflight/checks.ts judgeDisk': 'no test fills a disk',
  'cutover/preflight/checks.ts judgeStandbys': 'no test starts a standby',
  'cutover/protocol/coordinator.ts STAGES': 'the search and the torture strike at each',
  'cutover/protocol/stamps.ts decideApply': 'what both stores do in their own languages (ADR 11)',
  'cutover/protocol/stamps.ts decideWrite': 'the same',
  'cutover/protocol/stamps.ts mayClearMark': 'the same',
  'cutover/router.ts READS': 'every operation is in the one list or the other',
  'db/canonical/codec.ts READING': 'no document comes to mean something else under the same number',
  'db/canonical/fields.ts ADDED_FIELDS': 'the default mapping is written out once more',
  'db/postgres/copy/jobs.ts JOBS_SCHEMA': 'who may read it',
  'db/postgres/migrate.ts MIGRATION_LOCK': 'a test holds it, as another who migrates',
  'db/postgres/snapshot/script.ts withoutUnknownSettings': 'cut into pieces as no server is made to cut it',
  'plugins/config/mapping.ts readMapping':
    'a copy is tried with the codec of a file, without a whole configuration',
  'plugins/logger.ts loggerOptions': 'what is logged is read without a file',
  'src/server.ts serve': 'the torture and the benchmark run it with seams',
};

const texts = new Map(
  globSync('{src,plugins,cutover,db,test}/**/*.ts', { cwd: root })
    .concat(globSync('*.config.ts', { cwd: root }))
    .filter((file) => !file.includes('node_modules'))
    .map((file) => [file, readFileSync(join(root, file), 'utf8')]),
);

/** By file: who imports it. */
const importers = new Map<string, string[]>();
for (const [file, text] of texts) {
  for (const [, name = ''] of text.matchAll(/(?:from|import\(?)\s*'(\.[^']+)'/g)) {
    const target = relative(root, join(root, dirname(file), name));
    importers.set(target, [...(importers.get(target) ?? []), file]);
  }
}

const exported = [...texts].flatMap(([file, text]) =>
  [...text.matchAll(/^export (?:async )?(?:const|let|function\*?|class) (\w+)/gm)].map(([, name = '']) => ({
    file,
    name,
    users: (importers.get(file) ?? []).filter((other) =>
      new RegExp(`\\b${name}\\b`).test(texts.get(other) ?? ''),
    ),
  })),
);

const isTest = (file: string) => file.startsWith('test/');
const inWords = ({ file, name }: (typeof exported)[number]) => `${file} ${name}`;

test('every exported value is used by another file of the program, unless it is told why only by tests', () => {
  const ofProgram = exported.filter(({ file }) => !isTest(file) && !READ_BY_TOOLS.includes(file));
  expect(ofProgram.length).toBeGreaterThan(500);
  const unused = ofProgram.filter(({ users }) => users.every(isTest));
  expect(unused.map(inWords).toSorted()).toEqual(Object.keys(FOR_TESTS).toSorted());
  expect(unused.filter(({ users }) => users.length === 0)).toEqual([]);
});

test('every exported value of the tests is used by another file', () => {
  // The torture puts its own in place of some modules, with all they export.
  const unused = exported.filter(
    ({ file, users }) => isTest(file) && !file.startsWith('test/torture/matrix/') && users.length === 0,
  );
  expect(unused.map(inWords)).toEqual([]);
});
