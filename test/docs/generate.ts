import { readFileSync, writeFileSync } from 'node:fs';
import { writeCutoverJson } from './cutover-json.ts';
import { renderExample } from './example.ts';
import { renderErrors, withConfiguration } from './render.ts';

const readme = new URL('../../README.md', import.meta.url);
writeFileSync(new URL('../../docs/errors.md', import.meta.url), renderErrors());
writeCutoverJson();
writeFileSync(new URL('../../.env.example', import.meta.url), renderExample());
writeFileSync(readme, withConfiguration(readFileSync(readme, 'utf8')));
console.log(
  'wrote docs/errors.md, docs/cutover-json.*, .env.example and the configuration table of README.md',
);
