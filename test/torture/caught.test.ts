/** What the checker counts as caught: refused for the one reason that was to be seen, whatever else may have been so. */
import { expect, test } from 'vitest';
import { check } from './checker/checker.ts';
import { type Script, script } from './checker/histories.ts';
import type { Caught } from './history/types.ts';

function caught({ operations }: Script): Readonly<Record<Caught, number>> {
  const { findings, undecided, caught: found } = check(operations, { leewayMs: 2_000, configsMax: 20_000 });
  expect([...findings, ...undecided]).toEqual([]);
  return found;
}

function signedUp(h: Script): number {
  return h.ok({ kind: 'signup', password: 'p1' }, 0, 1, { userId: 'u1', isVerified: false });
}

/** Rotated twice, then the first token again. */
function reused(h: Script, ended: boolean): void {
  const s = signedUp(h);
  h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
  h.ok({ kind: 'refresh', session: s, token: 1 }, 4, 5);
  if (ended) h.ok({ kind: 'logout', session: s }, 6, 7);
  h.refused({ kind: 'refresh', session: s, token: 0 }, 8, 9, 'refresh_invalid');
  h.refused({ kind: 'refresh', session: s, token: 2 }, 10, 11, 'refresh_invalid');
}

test('is the reuse of a token whose session lived until then, and of no other', () => {
  const [alive, over] = [script(), script()];
  reused(alive, false);
  reused(over, true);
  expect(caught(alive)).toEqual({ reuse: 1, superseded: 0 });
  expect(caught(over)).toEqual({ reuse: 0, superseded: 0 });
});

test('is no reuse that may have met the end of its session on the way', () => {
  const h = script();
  const s = signedUp(h);
  h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
  h.ok({ kind: 'refresh', session: s, token: 1 }, 4, 5);
  h.unknown({ kind: 'logout', session: s }, 6);
  h.refused({ kind: 'refresh', session: s, token: 0 }, 8, 9, 'refresh_invalid');
  expect(caught(h).reuse).toBe(0);
});

test('is a reset token while a newer one is good, and not once that is used', () => {
  const h = script();
  signedUp(h);
  const [older, newer] = [h.ok({ kind: 'forgot' }, 2, 3), h.ok({ kind: 'forgot' }, 4, 5)];
  h.refused({ kind: 'reset', requests: [older], password: 'p2' }, 6, 7, 'token_invalid');
  expect(caught(h).superseded).toBe(1);
  h.ok({ kind: 'reset', requests: [newer], password: 'p3' }, 8, 9);
  h.refused({ kind: 'reset', requests: [older], password: 'p4' }, 10, 11, 'token_invalid');
  expect(caught(h)).toEqual({ reuse: 0, superseded: 1 });
});
