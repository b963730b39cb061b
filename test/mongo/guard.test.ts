import { expect, test } from 'vitest';
import { pathOf } from '../../db/canonical.ts';
import { guard } from '../../db/mongo/guard.ts';

test('names what was read, but nothing that no filter can find again', () => {
  const doc = { a: 1, local: { b: undefined }, c: undefined, d: '\ufffd', never: new Date(Number.NaN) };
  const paths = ['a', 'local.b', 'local.x', 'c', 'd', 'e', 'never'].map(pathOf);
  expect(guard(doc, paths)).toEqual({
    a: { $eq: 1 },
    'local.x': { $exists: false },
    e: { $exists: false },
  });
});
