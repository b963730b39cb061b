import { describe, expect, it } from 'vitest';
import { createMemo } from './search/memo.ts';
import { SLOTS, type World } from './search/world.ts';

const slotOf = (wanted: keyof World): number => SLOTS.findIndex(({ name }) => name === wanted);

/** A world whose parts are their own numbers. */
const memoOfNumbers = () => createMemo((_slot, id) => id as never);
const numbers = (parts: Partial<Record<keyof World, number>>): Uint16Array =>
  Uint16Array.from(SLOTS, ({ name }) => parts[name] ?? 0);

describe('what a step does is asked once', () => {
  it('for each combination of the parts that it read, whatever the others are', () => {
    let runs = 0;
    const ask = memoOfNumbers().ask((world) => {
      runs += 1;
      const way = Number(world.k0) === 1 ? Number(world.dm) : Number(world.dp);
      return `${world.k0}: ${way}`;
    });
    expect(ask(numbers({ k0: 1, dm: 5 })).value).toBe('1: 5');
    expect(ask(numbers({ k0: 1, dm: 5, dp: 9, env: 3 })).value).toBe('1: 5');
    expect(runs).toBe(1);
    expect(ask(numbers({ k0: 1, dm: 6 })).value).toBe('1: 6');
    expect(ask(numbers({ k0: 2, dm: 5, dp: 9 })).value).toBe('2: 9');
    expect(ask(numbers({ k0: 2, dm: 7, dp: 9 })).value).toBe('2: 9');
    expect(runs).toBe(3);
  });

  it('tells which parts were read', () => {
    const ask = memoOfNumbers().ask((world) => Number(world.k0) === 1 && Number(world.t1) === 2);
    expect(ask(numbers({ k0: 0, t1: 2 })).reads).toBe(1 << slotOf('k0'));
    expect(ask(numbers({ k0: 1, t1: 2 })).reads).toBe((1 << slotOf('k0')) | (1 << slotOf('t1')));
  });

  it('keeps what was asked of many parts apart, and of two functions', () => {
    const memo = memoOfNumbers();
    const sum = memo.ask((world) => Number(world.o0) * 1_000 + Number(world.o1));
    const other = memo.ask((world) => Number(world.o1) * 1_000 + Number(world.o0));
    const wrong: unknown[] = [];
    for (const round of [1, 2]) {
      for (let o0 = 0; o0 < 100; o0++) {
        for (let o1 = 0; o1 < 100; o1++) {
          const parts = numbers({ o0, o1 });
          const [one, two] = [sum(parts).value, other(parts).value];
          if (one !== o0 * 1_000 + o1 || two !== o1 * 1_000 + o0) wrong.push({ round, o0, o1, one, two });
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('refuses a function that looks at more than the world', () => {
    let second = false;
    const ask = memoOfNumbers().ask((world) => {
      const first = second ? world.cp : world.cm;
      second = true;
      return [first, world.o0];
    });
    ask(numbers({ o0: 1 }));
    expect(() => ask(numbers({ o0: 2 }))).toThrow('something else of the same parts');
  });
});
