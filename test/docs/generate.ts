import { readFileSync, writeFileSync } from 'node:fs';
import { renderErrors, withConfiguration } from './render.ts';

const readme = new URL('../../README.md', import.meta.url);
writeFileSync(new URL('../../docs/errors.md', import.meta.url), renderErrors());
writeFileSync(readme, withConfiguration(readFileSync(readme, 'utf8')));
console.log('wrote docs/errors.md and the configuration table of README.md');
