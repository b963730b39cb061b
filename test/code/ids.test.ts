/** Ids are compared in one way: as both stores order them. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What is in SQL has a parameter, or a row in parentheses, at one of its sides. */
const BY_UTF16 = /(?:\bid|Id|\binstance|\bupTo|\bafter) [<>]=? \w/;

test('no ids are compared as JavaScript compares text', () => {
  expect(BY_UTF16.test('a.id < b.id ? -1 : 1') && BY_UTF16.test('id <= bounds.upTo')).toBe(true);
  const files = globSync('{src,plugins,cutover,db,test/support}/**/*.ts', { cwd: root });
  const lines = files.flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line) => (BY_UTF16.test(line) ? [`${file}: ${line.trim()}`] : [])),
  );
  expect(lines).toEqual([]);
});
