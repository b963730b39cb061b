/** The states seen so far, exactly: each is sixteen part numbers, kept in one flat array behind an open hash table. */
const WIDTH = 16;

export interface Visited {
  readonly count: () => number;
  /** The state's number; negative minus one when it is new: `-1 - number`. */
  readonly add: (parts: Uint16Array) => number;
  readonly read: (state: number, into: Uint16Array) => void;
}

export function createVisited(): Visited {
  let states = new Uint16Array(WIDTH * 1024);
  let table = new Int32Array(4096).fill(-1);
  let count = 0;

  const hashAt = (source: Uint16Array, offset: number): number => {
    let h = 0x811c9dc5;
    for (let n = 0; n < WIDTH; n++) {
      h = Math.imul(h ^ (source[offset + n] ?? 0), 0x01000193);
      h ^= h >>> 15;
    }
    h = Math.imul(h, 0x85ebca6b);
    return (h ^ (h >>> 13)) >>> 0;
  };
  const same = (parts: Uint16Array, state: number): boolean => {
    const offset = state * WIDTH;
    for (let n = 0; n < WIDTH; n++) if (parts[n] !== states[offset + n]) return false;
    return true;
  };
  const grow = () => {
    table = new Int32Array(table.length * 2).fill(-1);
    for (let state = 0; state < count; state++) {
      let slot = hashAt(states, state * WIDTH) & (table.length - 1);
      while ((table[slot] ?? -1) >= 0) slot = (slot + 1) & (table.length - 1);
      table[slot] = state;
    }
  };

  return {
    count: () => count,
    add: (parts) => {
      let slot = hashAt(parts, 0) & (table.length - 1);
      for (let found = table[slot] ?? -1; found >= 0; found = table[slot] ?? -1) {
        if (same(parts, found)) return found;
        slot = (slot + 1) & (table.length - 1);
      }
      table[slot] = count;
      if ((count + 1) * WIDTH > states.length) {
        const larger = new Uint16Array(states.length * 2);
        larger.set(states);
        states = larger;
      }
      states.set(parts, count * WIDTH);
      count++;
      if (count * 2 > table.length) grow();
      return -count;
    },
    read: (state, into) => into.set(states.subarray(state * WIDTH, (state + 1) * WIDTH)),
  };
}
