import { describe, expect, test } from 'vitest';
import { type BreakerState, createBreaker } from '../../cutover/breaker.ts';

function breaker() {
  let nowMs = 1_000;
  const changes: BreakerState[] = [];
  const made = createBreaker({
    environment: { now: () => ({ monotonicMs: nowMs, wallMs: nowMs }) },
    settings: () => ({ 'breaker-failures': 3, 'breaker-window-ms': 1_000, 'breaker-half-open-ms': 500 }),
    onChange: (to) => changes.push(to),
  });
  return {
    ...made,
    changes,
    pass(ms: number) {
      nowMs += ms;
    },
  };
}

describe('a breaker', () => {
  test('opens after so many failures within the window, and no sooner', () => {
    const { allow, fail, state, pass, retryInMs } = breaker();
    fail();
    pass(600);
    fail();
    pass(600);
    fail();
    expect([state(), allow()]).toEqual(['closed', true]);
    fail();
    expect([state(), allow(), retryInMs()]).toEqual(['open', false, 500]);
  });

  test('lets one attempt through after a time; its success closes it', () => {
    const { allow, fail, succeed, state, pass, changes } = breaker();
    for (let i = 0; i < 3; i += 1) fail();
    pass(499);
    expect(allow()).toBe(false);
    pass(1);
    expect([allow(), allow(), state()]).toEqual([true, false, 'half-open']);
    succeed();
    expect([allow(), allow()]).toEqual([true, true]);
    expect(changes).toEqual(['open', 'half-open', 'closed']);
    fail();
    expect(state()).toBe('closed');
  });

  test('opens anew when that attempt fails', () => {
    const { allow, fail, state, pass } = breaker();
    for (let i = 0; i < 3; i += 1) fail();
    pass(500);
    expect(allow()).toBe(true);
    fail();
    expect([state(), allow()]).toEqual(['open', false]);
    pass(500);
    expect(allow()).toBe(true);
  });

  test('an attempt that nobody tells the end of does not hold it for ever', () => {
    const { allow, fail, pass } = breaker();
    for (let i = 0; i < 3; i += 1) fail();
    pass(500);
    expect([allow(), allow()]).toEqual([true, false]);
    pass(500);
    expect([allow(), allow()]).toEqual([true, false]);
  });

  test('while open, the end of an earlier attempt changes nothing', () => {
    const { fail, succeed, state, retryInMs, pass } = breaker();
    for (let i = 0; i < 3; i += 1) fail();
    pass(300);
    succeed();
    fail();
    expect([state(), retryInMs()]).toEqual(['open', 200]);
  });
});
