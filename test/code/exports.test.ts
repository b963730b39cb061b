/** Nothing is exported for nobody. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Of these drizzle-kit makes the migrations. */
const READ_BY_TOOLS = ['db/postgres/schema.ts'];

const texts = new Map(
  globSync('{src,plugins,cutover,db,test}/**/*.ts', { cwd: root })
    .filter((file) => !file.includes('node_modules'))
    .map((file) => [file, readFileSync(join(root, file), 'utf8')]),
);

test('every exported value is named in another file', () => {
  const words = new Map([...texts].map(([file, text]) => [file, new Set(text.match(/\w+/g))]));
  const exported = [...texts]
    .filter(([file]) => !file.startsWith('test/') && !READ_BY_TOOLS.includes(file))
    .flatMap(([file, text]) =>
      [...text.matchAll(/^export (?:async )?(?:const|let|function\*?|class) (\w+)/gm)].map(
        ([, name = '']) => ({ file, name }),
      ),
    );
  expect(exported.length).toBeGreaterThan(500);
  const unused = exported.filter(
    ({ file, name }) => ![...words].some(([other, named]) => other !== file && named.has(name)),
  );
  expect(unused).toEqual([]);
});
