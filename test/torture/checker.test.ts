/** The checker by itself, on histories made by hand: what it lets pass, and what it must find. */
import { describe, expect, test } from 'vitest';
import { check, type Finding } from './checker/checker.ts';
import { type Script, script } from './checker/histories.ts';

const LIMITS = { leewayMs: 2_000, configsMax: 20_000 };

function findings({ operations }: Script): readonly Finding[] {
  const { findings: found, undecided } = check(operations, LIMITS);
  expect(undecided).toEqual([]);
  return found;
}

const invariants = (history: Script): readonly number[] =>
  findings(history).map(({ invariant }) => invariant);

/** A signed-up user; the session is named by the id that comes back. */
function signedUp(h: Script): number {
  return h.ok({ kind: 'signup', password: 'p1' }, 0, 1, { userId: 'u1', isVerified: false });
}

describe('a history that can be explained', () => {
  test('a life without trouble', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'me', session: s }, 2, 3, { userId: 'u1', isVerified: false });
    h.ok({ kind: 'verify', sure: true }, 4, 5);
    h.refused({ kind: 'verify', sure: true }, 6, 7, 'token_invalid');
    h.ok({ kind: 'refresh', session: s, token: 0 }, 8, 9, { userId: 'u1', isVerified: true });
    const t = h.ok({ kind: 'login', password: 'p1' }, 10, 11, { userId: 'u1' });
    h.ok({ kind: 'list', session: t }, 12, 13, { sessions: [s, t] });
    h.ok({ kind: 'change', session: t, password: 'p1', next: 'p2' }, 14, 15);
    h.refused({ kind: 'me', session: s }, 16, 17, 'unauthenticated');
    h.ok({ kind: 'me', session: t }, 16, 17);
    h.refused({ kind: 'login', password: 'p1' }, 18, 19, 'invalid_credentials');
    const r = h.ok({ kind: 'forgot' }, 20, 21);
    h.ok({ kind: 'reset', requests: [r], password: 'p3' }, 22, 23);
    h.refused({ kind: 'me', session: t }, 24, 25, 'unauthenticated');
    const u = h.ok({ kind: 'login', password: 'p3' }, 26, 27);
    h.ok({ kind: 'erase', session: u, password: 'p3' }, 28, 29);
    h.refused({ kind: 'login', password: 'p3' }, 30, 31, 'invalid_credentials');
    h.ok({ kind: 'signup', password: 'p4' }, 32, 33, { userId: 'u2' });
    h.ok({ kind: 'final' }, 40, 41, { exists: true, userId: 'u2', isVerified: false });
    expect(findings(h)).toEqual([]);
  });

  test('an open outcome may show at once, late, or never', () => {
    for (const shows of ['at once', 'late', 'never']) {
      const h = script();
      const s = signedUp(h);
      h.unknown({ kind: 'logout', session: s }, 2);
      if (shows !== 'at once') h.ok({ kind: 'me', session: s }, 3, 4);
      if (shows !== 'never') h.refused({ kind: 'me', session: s }, 5, 6, 'unauthenticated');
      expect(findings(h), shows).toEqual([]);
    }
  });

  test('two may end one session at once, one after another had no answer', () => {
    const h = script();
    const s = signedUp(h);
    const t = h.ok({ kind: 'login', password: 'p1' }, 2, 3);
    h.unknown({ kind: 'end', session: t, target: s }, 4);
    h.refused({ kind: 'end', session: t, target: s }, 5, 6, 'session_not_found');
    h.unknown({ kind: 'change', session: t, password: 'p1', next: 'p2' }, 7);
    h.ok({ kind: 'final' }, 9, 9, { exists: true, userId: 'u1', isVerified: false, generation: 1 });
    expect(findings(h)).toEqual([]);
  });

  test('an open password change may end its own session, or let it live on', () => {
    for (const survives of [true, false]) {
      const h = script();
      const s = signedUp(h);
      h.unknown({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 2);
      h.ok({ kind: 'login', password: 'p2' }, 3, 4);
      if (survives) h.ok({ kind: 'me', session: s }, 5, 6);
      else h.refused({ kind: 'me', session: s }, 5, 6, 'unauthenticated');
      expect(findings(h), String(survives)).toEqual([]);
    }
  });

  test('two who race for one token: one wins', () => {
    const h = script();
    signedUp(h);
    const r = h.ok({ kind: 'forgot' }, 2, 3);
    h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 4, 6);
    h.refused({ kind: 'reset', requests: [r], password: 'p3' }, 4, 6, 'token_invalid');
    h.ok({ kind: 'login', password: 'p2' }, 7, 8);
    expect(findings(h)).toEqual([]);
  });

  test('two rotations of one token inside the leeway give the same successor', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.ok({ kind: 'refresh', session: s, token: 1 }, 4, 5);
    expect(findings(h)).toEqual([]);
  });

  test('a replaced token, used again, ends the session', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.refused({ kind: 'refresh', session: s, token: 0 }, 20, 21, 'refresh_invalid');
    h.refused({ kind: 'refresh', session: s, token: 1 }, 22, 23, 'refresh_invalid');
    expect(findings(h)).toEqual([]);
  });

  test('a login that began before a reset was answered may succeed, and is worth nothing', () => {
    const h = script();
    signedUp(h);
    const r = h.ok({ kind: 'forgot' }, 2, 3);
    h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 4, 6);
    const t = h.ok({ kind: 'login', password: 'p1' }, 5, 8);
    h.refused({ kind: 'me', session: t }, 9, 10, 'unauthenticated');
    expect(findings(h)).toEqual([]);
  });
});

describe('tokens of the old service', () => {
  /** The account it left, and what stands for the session of its first token. */
  function left(h: Script): number {
    h.ok({ kind: 'signup', password: 'p1', legacy: true }, 0, 0, { userId: 'u1', isVerified: false });
    return -1;
  }

  test('each opens one session, the same again inside the leeway, and none after a logout with it', () => {
    const h = script();
    const s = left(h);
    h.ok({ kind: 'exchange', session: s }, 1, 2, { userId: 'u1', isVerified: false });
    h.ok({ kind: 'exchange', session: s }, 3, 4, { userId: 'u1' });
    h.ok({ kind: 'me', session: s }, 5, 6);
    h.refused({ kind: 'exchange', session: s }, 9, 10, 'refresh_invalid');
    h.ok({ kind: 'refresh', session: s, token: 0 }, 11, 12);
    h.refused({ kind: 'exchange', session: s }, 11, 12, 'refresh_invalid');
    h.ok({ kind: 'logout', session: s, burns: true }, 13, 14);
    h.refused({ kind: 'me', session: s }, 15, 16, 'unauthenticated');
    h.ok({ kind: 'logout', session: -2, burns: true }, 17, 18);
    h.refused({ kind: 'exchange', session: -2 }, 19, 20, 'refresh_invalid');
    h.ok({ kind: 'final' }, 30, 30, { exists: true, userId: 'u1', sessions: [] });
    expect(findings(h)).toEqual([]);
  });

  test('none opens one after a new password', () => {
    const h = script();
    const s = left(h);
    const r = h.ok({ kind: 'forgot' }, 1, 2);
    h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 3, 4);
    h.refused({ kind: 'exchange', session: s }, 5, 6, 'refresh_invalid');
    expect(findings(h)).toEqual([]);
  });

  test.for<[string, number, (h: Script, s: number) => void]>([
    ['3: after a logout with it', 3, (h, s) => h.ok({ kind: 'logout', session: s, burns: true }, 1, 2)],
    [
      '3: after a new password',
      3,
      (h) => {
        const r = h.ok({ kind: 'forgot' }, 1, 1);
        h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 2, 2);
      },
    ],
  ])('%s it still opens a session', ([, invariant, before]) => {
    const h = script();
    const s = left(h);
    before(h, s);
    h.ok({ kind: 'exchange', session: s }, 3, 4);
    expect(invariants(h)).toEqual([invariant]);
  });

  test('4: one is exchanged twice', () => {
    const h = script();
    const s = left(h);
    h.ok({ kind: 'exchange', session: s }, 1, 2);
    h.ok({ kind: 'exchange', session: s }, 9, 10);
    expect(invariants(h)).toEqual([4]);
  });

  test('1: a good one is refused', () => {
    const h = script();
    h.refused({ kind: 'exchange', session: left(h) }, 1, 2, 'refresh_invalid');
    expect(invariants(h)).toEqual([1]);
  });

  test('an exchange without an answer may have opened its session, which is listed then', () => {
    for (const sessions of [[-1, -2], [-2]]) {
      const h = script();
      const s = left(h);
      h.unknown({ kind: 'exchange', session: s }, 1);
      h.ok({ kind: 'exchange', session: -2 }, 2, 3);
      h.ok({ kind: 'list', session: -2 }, 4, 5, { sessions });
      expect(findings(h), String(sessions)).toEqual([]);
    }
  });
});

describe('what began before a session ended', () => {
  test('may list what is left after it', () => {
    const h = script();
    const s = signedUp(h);
    const t = h.ok({ kind: 'login', password: 'p1' }, 2, 3);
    h.ok({ kind: 'list', session: s }, 4, 8, { sessions: [t] });
    h.ok({ kind: 'logout', session: s }, 5, 6);
    expect(findings(h)).toEqual([]);
  });

  test('may still change the password, but its session stays ended', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 4, 8);
    h.ok({ kind: 'logout', session: s }, 5, 6);
    h.refused({ kind: 'me', session: s }, 9, 10, 'unauthenticated');
    h.ok({ kind: 'login', password: 'p2' }, 11, 12);
    expect(findings(h)).toEqual([]);
  });

  test('changes nothing after another change', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 4, 8);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p3' }, 4, 8);
    expect(invariants(h)).toEqual([1]);
  });
});

describe('each invariant, broken', () => {
  test('1: a signup is lost', () => {
    const h = script();
    signedUp(h);
    h.refused({ kind: 'login', password: 'p1' }, 2, 3, 'invalid_credentials');
    expect(invariants(h)).toEqual([1]);
  });

  test('1: a rotation is lost', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.refused({ kind: 'refresh', session: s, token: 1 }, 4, 5, 'refresh_invalid');
    expect(invariants(h)).toEqual([1]);
  });

  test('5: a verification is lost in the final stores only', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'verify', sure: true }, 2, 3);
    h.ok({ kind: 'final' }, 9, 10, { exists: true, userId: 'u1', isVerified: false, sessions: [s] });
    expect(invariants(h)).toEqual([5]);
  });

  test('1: an account is gone from the final stores', () => {
    const h = script();
    signedUp(h);
    h.ok({ kind: 'final' }, 9, 10, { exists: false });
    expect(invariants(h)).toEqual([1]);
  });

  test('2: two signups of one address succeed', () => {
    const h = script();
    signedUp(h);
    h.ok({ kind: 'signup', password: 'p2' }, 0, 1, { userId: 'u2' });
    expect(invariants(h)).toEqual([2]);
  });

  test('1: the user comes back under another id', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'me', session: s }, 2, 3, { userId: 'u9' });
    expect(invariants(h)).toEqual([1]);
  });

  test('3: a session lives on after its logout', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'logout', session: s }, 2, 3);
    h.ok({ kind: 'me', session: s }, 4, 5);
    expect(invariants(h)).toEqual([3]);
  });

  test('3: a session is ended that a logout had ended', () => {
    const h = script();
    const s = signedUp(h);
    const t = h.ok({ kind: 'login', password: 'p1' }, 2, 3);
    h.ok({ kind: 'logout', session: s }, 4, 5);
    h.ok({ kind: 'end', session: t, target: s }, 6, 7);
    expect(invariants(h)).toEqual([3]);
  });

  test('3: one session is ended twice', () => {
    const h = script();
    const s = signedUp(h);
    const t = h.ok({ kind: 'login', password: 'p1' }, 2, 3);
    h.ok({ kind: 'end', session: t, target: s }, 4, 5);
    h.ok({ kind: 'end', session: t, target: s }, 6, 7);
    expect(invariants(h)).toEqual([3]);
  });

  test('3: a login that began before a reset was answered outlives it', () => {
    const h = script();
    signedUp(h);
    const r = h.ok({ kind: 'forgot' }, 2, 3);
    const t = h.ok({ kind: 'login', password: 'p1' }, 4, 8);
    h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 5, 7);
    h.ok({ kind: 'me', session: t }, 9, 10);
    expect(invariants(h)).toEqual([3]);
  });

  test('3: a dead session is listed as alive', () => {
    const h = script();
    const s = signedUp(h);
    const t = h.ok({ kind: 'login', password: 'p1' }, 2, 3);
    h.ok({ kind: 'logout', session: s }, 4, 5);
    h.ok({ kind: 'list', session: t }, 6, 7, { sessions: [s, t] });
    expect(invariants(h)).toEqual([3]);
  });

  test('3: reuse of a replaced token goes unpunished', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.refused({ kind: 'refresh', session: s, token: 0 }, 20, 21, 'refresh_invalid');
    h.ok({ kind: 'refresh', session: s, token: 1 }, 22, 23);
    expect(invariants(h)).toEqual([3]);
  });

  test('4: a refresh token rotates twice', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 2, 3);
    h.ok({ kind: 'refresh', session: s, token: 0 }, 20, 21);
    expect(invariants(h)).toEqual([4]);
  });

  test('4: a reset token is consumed twice', () => {
    const h = script();
    signedUp(h);
    const r = h.ok({ kind: 'forgot' }, 2, 3);
    h.ok({ kind: 'reset', requests: [r], password: 'p2' }, 4, 6);
    h.ok({ kind: 'reset', requests: [r], password: 'p3' }, 4, 6);
    expect(invariants(h)).toEqual([4]);
  });

  test('4: a verification token is consumed twice', () => {
    const h = script();
    signedUp(h);
    h.ok({ kind: 'verify', sure: true }, 2, 4);
    h.ok({ kind: 'verify', sure: true }, 2, 4);
    expect(invariants(h)).toEqual([4]);
  });

  test('5: an old password returns', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 2, 3);
    h.ok({ kind: 'login', password: 'p1' }, 4, 5);
    expect(invariants(h)).toEqual([5]);
  });

  test('5: a password change is lost in the final stores only', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 2, 3);
    h.ok({ kind: 'final' }, 9, 9, { exists: true, userId: 'u1', isVerified: false, generation: 0 });
    expect(invariants(h)).toEqual([5]);
  });

  test('5: verified goes back', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'verify', sure: true }, 2, 3);
    h.ok({ kind: 'me', session: s }, 4, 5, { isVerified: false });
    expect(invariants(h)).toEqual([5]);
  });
});

describe('seeded bugs, by the traces they leave', () => {
  test('mirror dropped: what was written before the flip is missing after it', () => {
    const h = script();
    const s = signedUp(h);
    h.refused({ kind: 'me', session: s }, 2, 3, 'unauthenticated');
    expect(invariants(h)).toEqual([1]);
  });

  test('stamp guard removed, or a late retry of an old state: a logout is undone', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'logout', session: s }, 2, 3);
    h.refused({ kind: 'me', session: s }, 4, 5, 'unauthenticated');
    h.ok({ kind: 'refresh', session: s, token: 0 }, 6, 7);
    expect(invariants(h)).toEqual([3]);
  });

  test('no fence, or no second look at the lease: an answer came from the store that had lost authority', () => {
    const h = script();
    const s = signedUp(h);
    h.ok({ kind: 'verify', sure: true }, 2, 3);
    h.ok({ kind: 'me', session: s }, 4, 5, { isVerified: true });
    h.ok({ kind: 'me', session: s }, 6, 7, { isVerified: false });
    expect(invariants(h)).toEqual([5]);
  });

  test('time-out counted as failure: what was refused has happened', () => {
    const h = script();
    const s = signedUp(h);
    h.refused({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 2, 3, 'changed_meanwhile');
    h.ok({ kind: 'login', password: 'p2' }, 4, 5);
    expect(invariants(h)).toEqual([5]);
  });

  test('orphan kept: a write that nobody was told of surfaces over one that was acknowledged', () => {
    const h = script();
    const s = signedUp(h);
    h.unknown({ kind: 'change', session: s, password: 'p1', next: 'p2' }, 2);
    h.ok({ kind: 'change', session: s, password: 'p1', next: 'p3' }, 10, 11);
    h.ok({ kind: 'login', password: 'p3' }, 12, 13);
    h.ok({ kind: 'login', password: 'p2' }, 20, 21);
    expect(invariants(h)).toEqual([5]);
  });

  test('legacy reset token left alive: an older token works after a newer was asked for', () => {
    const h = script();
    signedUp(h);
    const first = h.ok({ kind: 'forgot' }, 2, 3);
    h.ok({ kind: 'forgot' }, 4, 5);
    h.ok({ kind: 'reset', requests: [first], password: 'p2' }, 6, 7);
    expect(invariants(h)).toEqual([4]);
  });
});
