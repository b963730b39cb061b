import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cutoverJsonSchema, renderCutoverJson } from './cutover-json.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/cutover-json.* are what the code says', () => {
  expect(read('docs/cutover-json.md')).toBe(renderCutoverJson());
  expect(JSON.parse(read('docs/cutover-json.schema.json'))).toEqual(cutoverJsonSchema());
});
