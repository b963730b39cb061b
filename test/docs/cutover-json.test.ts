import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect, test } from 'vitest';
import { OUTPUTS, PARTS, settingRows } from '../../cutover/cli/schemas.ts';
import { DEFAULT_SETTINGS } from '../../cutover/settings.ts';
import { cutoverJsonSchema, renderCutoverJson } from './cutover-json.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/cutover-json.* are what the code says', () => {
  expect(read('docs/cutover-json.md')).toBe(renderCutoverJson());
  expect(JSON.parse(read('docs/cutover-json.schema.json'))).toEqual(cutoverJsonSchema());
});

test('any validator of JSON Schema takes the schema: every reference leads somewhere', () => {
  const schema = JSON.parse(read('docs/cutover-json.schema.json'));
  const ajv = new Ajv2020({ strict: false });
  formats.default(ajv);
  const isOutput = ajv.compile(schema);
  const note = {
    ...{ key: 'user/1', firstAt: '2030-01-31T12:00:00.000Z', lastAt: '2030-01-31T12:00:00.000Z', times: 1 },
    body: { holderId: '2', stamp: { epoch: 1, version: 2 }, more: [null, true] },
  };
  expect(isOutput({ verb: 'conflicts', outcome: 'difference', exitCode: 1, conflicts: [note] })).toBe(true);
  expect(isOutput({ verb: 'conflicts', outcome: 'difference', exitCode: 1, conflicts: [{}] })).toBe(false);
  const settings = settingRows(DEFAULT_SETTINGS);
  expect(isOutput({ verb: 'set', outcome: 'done', exitCode: 0, settings })).toBe(true);
});

test('no part of the schema has the name of another', () => {
  expect(Object.keys(PARTS).filter((name) => name in OUTPUTS)).toEqual([]);
});
