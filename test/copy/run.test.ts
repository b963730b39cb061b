/** What a run remembers, to versions before and after this one. */
import { expect, it } from 'vitest';
import { parseRun, type RunBody, toBody } from '../../cutover/copy/run.ts';
import type { Json } from '../../db/replica.ts';

const RUN: RunBody = {
  from: 'mongo',
  onBad: 'rollback',
  dryRun: false,
  duplicates: null,
  mapping: 'a'.repeat(16),
  epoch: 1,
  copy: { kind: 'none' },
  expiredBeforeMs: 0,
  seal: null,
  counts: {},
};
const read = (body: Json) => parseRun({ id: 'r1', body });

it('is read as it was written, also by a version before there was a format', () => {
  expect(read(toBody(RUN))).toEqual(RUN);
  expect(read(RUN as unknown as Json)).toEqual(RUN);
});

it('is no run to a version that could not take all of it back', () => {
  const other = 'run r1 was written by another version';
  expect(() => read({ ...(toBody(RUN) as object), format: 2 } as unknown as Json)).toThrow(other);
  // The fields that versions before there was a format ask for.
  for (const field of Object.keys(RUN)) expect(toBody(RUN)).not.toHaveProperty(field);
});
