import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { EXIT_CODE_MEANINGS, EXIT_CODES, OUTCOMES } from '../../cutover/cli/exit-codes.ts';
import { OUTPUTS, type OutputName, PARTS } from '../../cutover/cli/schemas.ts';

const PRINTED_BY: Readonly<Record<OutputName, string>> = {
  status: '`status`; with `--watch` one a line',
  plan: '`promote --dry-run`, `rollback --dry-run`',
  move: '`promote`, `rollback`',
  interruptedMove: '`promote`, `rollback`, ended by Ctrl-C',
  abort: '`abort`',
  pending: '`pending`',
  conflicts: '`conflicts`',
  diffs: '`diffs`',
  foreign: '`foreign`',
  log: '`log`',
  settings: '`set`: every setting',
  set: '`set KEY VALUE`',
  failover: '`failover`',
  backfill: '`backfill`, `backfill resume`',
  backfills: '`backfill list`',
  backfillRun: '`backfill show`',
  backfillUndone: '`backfill rollback`',
  verify: '`verify`',
  repair: '`repair`',
  quarantine: '`quarantine list`',
  quarantineRetried: '`quarantine retry`',
  quarantineResolved: '`quarantine accept`, `quarantine drop`',
  worker: '`worker`, told to stop',
  preflight: '`preflight`',
  snapshotCreated: '`snapshot create`',
  snapshots: '`snapshot list`',
  snapshotVerified: '`snapshot verify`',
  snapshotRestored: '`snapshot restore`',
  snapshotCleared: '`snapshot clear`',
  userAction: '`sessions end`, `users erase`',
  failure: 'any verb without an answer: usage, configuration, a store out of reach, an unexpected error',
};

const ref = (name: string): string => `#/$defs/${name}`;

/** docs/cutover-json.schema.json: one JSON Schema for all that is printed: a definition for each kind of output, and those they share. */
export function cutoverJsonSchema(): Readonly<Record<string, unknown>> {
  const named = z.registry<{ id: string }>();
  for (const [id, schema] of [...Object.entries(OUTPUTS), ...Object.entries(PARTS)])
    named.add(schema, { id });
  const { schemas } = z.toJSONSchema(named, { uri: ref });
  const definitions = Object.entries(schemas).map(([id, { $id: _, $schema: __, ...schema }]) => [id, schema]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'What `cutover --json` prints',
    anyOf: Object.keys(OUTPUTS).map((name) => ({ $ref: ref(name) })),
    $defs: Object.fromEntries(definitions),
  };
}

/** docs/cutover-json.md. */
export function renderCutoverJson(): string {
  return [
    '# What `cutover --json` prints',
    '',
    'One JSON object on standard output, on one line; progress and complaints go to standard error. Every object has the',
    '`verb`, the `outcome` in a word, and the `exitCode` that the program ends with. Fields may be added, never changed or',
    'taken away. Fields that end in `Ms` are milliseconds (`…AtMs`: since 1970), moments are ISO 8601 in UTC, and `null`',
    'means not known or not there.',
    '',
    '| `outcome` | `exitCode` | |',
    '|---|---|---|',
    ...OUTCOMES.map((name) => `| \`${name}\` | ${EXIT_CODES[name]} | ${EXIT_CODE_MEANINGS[name]} |`),
    '',
    'With `exitCode` 1, an object that has `error` is a `failure`: the verb went wrong, and says nothing of a difference.',
    '',
    'The schema is [cutover-json.schema.json](cutover-json.schema.json), with one definition for each kind of object:',
    '',
    '| definition | printed by, each with `--json` | fields besides those three |',
    '|---|---|---|',
    ...Object.entries(OUTPUTS).map(([name, { shape }]) => {
      const fields = Object.keys(shape).filter((field) => !['verb', 'outcome', 'exitCode'].includes(field));
      return `| \`${name}\` | ${PRINTED_BY[name as OutputName]} | ${fields.map((field) => `\`${field}\``).join(', ')} |`;
    }),
    '',
    'While it copies or compares, a verb writes its progress to standard error: objects as the definition `progress`, one a line.',
    '',
    'Both files are generated from `cutover/cli/schemas.ts` by `npm run docs`; tests hold them, and the real output, against it.',
    '',
  ].join('\n');
}

/** Both files, as the test beside this one wants them. */
export function writeCutoverJson(): void {
  writeFileSync(new URL('../../docs/cutover-json.md', import.meta.url), renderCutoverJson());
  const schema = fileURLToPath(new URL('../../docs/cutover-json.schema.json', import.meta.url));
  writeFileSync(schema, JSON.stringify(cutoverJsonSchema()));
  // The formatter's layout of JSON is not that of `JSON.stringify`, and it checks this file too.
  execFileSync('npx', ['--no', 'biome', 'format', '--write', schema], { stdio: 'ignore' });
}
