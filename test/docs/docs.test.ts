import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { renderErrors, withConfiguration } from './render.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/errors.md lists exactly the error codes of the code', () => {
  expect(read('docs/errors.md')).toBe(renderErrors());
});

test('the configuration table of the README is that of the code', () => {
  const readme = read('README.md');
  expect(readme).toBe(withConfiguration(readme));
});
