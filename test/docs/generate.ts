import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderExample } from '../../plugins/config/example.ts';
import { cutoverJsonSchema, renderCutoverJson } from './cutover-json.ts';
import { renderErrors, withConfiguration } from './render.ts';

const readme = new URL('../../README.md', import.meta.url);
writeFileSync(new URL('../../docs/errors.md', import.meta.url), renderErrors());
writeFileSync(new URL('../../docs/cutover-json.md', import.meta.url), renderCutoverJson());
const schema = fileURLToPath(new URL('../../docs/cutover-json.schema.json', import.meta.url));
writeFileSync(schema, JSON.stringify(cutoverJsonSchema()));
// The formatter's layout of JSON is not that of `JSON.stringify`, and it checks this file too.
execFileSync('npx', ['--no', 'biome', 'format', '--write', schema], { stdio: 'ignore' });
writeFileSync(new URL('../../.env.example', import.meta.url), renderExample());
writeFileSync(readme, withConfiguration(readFileSync(readme, 'utf8')));
console.log(
  'wrote docs/errors.md, docs/cutover-json.*, .env.example and the configuration table of README.md',
);
