/**
 * The states seen so far, exactly and in few bytes. A state is sixteen part numbers; its two halves of eight are
 * numbered in tables of their own, and the state is the pair of their numbers: far fewer halves exist than states.
 */
const HALF = 8;

type Numbers = Uint16Array | Uint32Array;

/** Numbers distinct rows of `width` numbers from 0 in the order in which they came. */
function createTable(width: number, make: (length: number) => Numbers) {
  let rows = make(width * 1024);
  let slots = new Int32Array(4096).fill(-1);
  let count = 0;

  const hashAt = (source: Numbers, offset: number): number => {
    let h = 0x811c9dc5;
    for (let n = 0; n < width; n++) {
      h = Math.imul(h ^ (source[offset + n] ?? 0), 0x01000193);
      h ^= h >>> 15;
    }
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  };
  const isAt = (source: Numbers, offset: number, row: number): boolean => {
    for (let n = 0; n < width; n++) if (source[offset + n] !== rows[row * width + n]) return false;
    return true;
  };
  const grow = () => {
    slots = new Int32Array(slots.length * 2).fill(-1);
    const mask = slots.length - 1;
    for (let row = 0; row < count; row++) {
      let slot = hashAt(rows, row * width) & mask;
      while ((slots[slot] ?? -1) >= 0) slot = (slot + 1) & mask;
      slots[slot] = row;
    }
  };

  return {
    count: () => count,
    bytes: () => rows.byteLength + slots.byteLength,
    at: (row: number, n: number): number => rows[row * width + n] ?? 0,
    /** The row's number; negative minus one when it is new: `-1 - number`. */
    add: (source: Numbers, offset: number): number => {
      let mask = slots.length - 1;
      let slot = hashAt(source, offset) & mask;
      for (let found = slots[slot] ?? -1; found >= 0; found = slots[slot] ?? -1) {
        if (isAt(source, offset, found)) return found;
        slot = (slot + 1) & mask;
      }
      if ((count + 1) * 4 > slots.length * 3) {
        grow();
        mask = slots.length - 1;
        slot = hashAt(source, offset) & mask;
        while ((slots[slot] ?? -1) >= 0) slot = (slot + 1) & mask;
      }
      slots[slot] = count;
      if ((count + 1) * width > rows.length) {
        const larger = make(Math.ceil((rows.length * 3) / 2 / width) * width);
        larger.set(rows);
        rows = larger;
      }
      for (let n = 0; n < width; n++) rows[count * width + n] = source[offset + n] ?? 0;
      count++;
      return -count;
    },
  };
}

export interface Visited {
  readonly count: () => number;
  readonly bytes: () => number;
  /** The state's number. */
  readonly add: (parts: Uint16Array) => number;
  readonly read: (state: number, into: Uint16Array) => void;
}

export function createVisited(): Visited {
  const halves = [0, 1].map(() => createTable(HALF, (length) => new Uint16Array(length)));
  const states = createTable(2, (length) => new Uint32Array(length));
  const pair = new Uint32Array(2);
  /** The state read last, whose successors mostly share one half with it. */
  const last = { parts: new Uint16Array(2 * HALF), numbers: new Uint32Array(2), isKnown: false };
  const isShared = (half: number, parts: Uint16Array): boolean => {
    for (let n = half * HALF; n < (half + 1) * HALF; n++) if (parts[n] !== last.parts[n]) return false;
    return true;
  };
  const numberOf = (half: number, parts: Uint16Array): number => {
    if (last.isKnown && isShared(half, parts)) return last.numbers[half] ?? 0;
    const found = halves[half]?.add(parts, half * HALF) ?? 0;
    return found < 0 ? -1 - found : found;
  };
  return {
    count: states.count,
    bytes: () => halves.reduce((sum, half) => sum + half.bytes(), states.bytes()),
    add: (parts) => {
      pair[0] = numberOf(0, parts);
      pair[1] = numberOf(1, parts);
      const found = states.add(pair, 0);
      return found < 0 ? -1 - found : found;
    },
    read: (state, into) => {
      for (let half = 0; half < 2; half++) {
        const row = states.at(state, half);
        for (let n = 0; n < HALF; n++) into[half * HALF + n] = halves[half]?.at(row, n) ?? 0;
        last.numbers[half] = row;
      }
      last.parts.set(into);
      last.isKnown = true;
    },
  };
}
