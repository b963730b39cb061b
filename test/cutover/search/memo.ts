/**
 * What a function makes of a world, asked once for each combination of the parts it looks at. Which these are is not
 * declared but recorded while it runs: it is pure, so the parts that it read decide what it reads next, and in the end
 * what comes out. So what is known of it is a tree: at each node the part that is read next, at each leaf the answer.
 */
import { createGrowing } from './growing.ts';
import { SLOTS, type World } from './world.ts';

export interface Answer<T> {
  readonly value: T;
  /** The parts that were read, one bit each. */
  readonly reads: number;
}
/** Of the world whose parts have these numbers. */
export type Asked<T> = (ids: Uint16Array) => Answer<T>;

export interface Memo {
  readonly ask: <T>(run: (world: World) => T) => Asked<T>;
  readonly bytes: () => number;
}

const NODE_BYTES = 3;

export function createMemo(partAt: (slot: number, id: number) => World[keyof World]): Memo {
  const answers: Answer<unknown>[] = [];
  /** By node: the slot that is read there; from `SLOTS.length` on: an answer. */
  const nodes = createGrowing();
  /** Node and part number, and the node they lead to plus one: a hash table of threes. */
  let table = new Int32Array(4096 * NODE_BYTES);
  let filled = 0;

  const placeOf = (node: number, id: number): number => {
    const mask = table.length / NODE_BYTES - 1;
    let h = Math.imul(node, 0x9e3779b1) ^ Math.imul(id + 1, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    let place = (h ^ (h >>> 13)) & mask;
    for (;;) {
      const at = place * NODE_BYTES;
      if (table[at + 2] === 0 || (table[at] === node && table[at + 1] === id)) return at;
      place = (place + 1) & mask;
    }
  };
  const put = (node: number, id: number, child: number): void => {
    if ((filled + 1) * 3 > (table.length / NODE_BYTES) * 2) {
      const before = table;
      table = new Int32Array(before.length * 2);
      for (let at = 0; at < before.length; at += NODE_BYTES) {
        if (before[at + 2] !== 0)
          table.set(before.subarray(at, at + NODE_BYTES), placeOf(before[at] ?? 0, before[at + 1] ?? 0));
      }
    }
    const at = placeOf(node, id);
    table[at] = node;
    table[at + 1] = id;
    table[at + 2] = child + 1;
    filled++;
  };

  let asked: Uint16Array = new Uint16Array(SLOTS.length);
  let read: number[] = [];
  const recorder = {} as World;
  for (const [slot, { name }] of SLOTS.entries()) {
    Object.defineProperty(recorder, name, {
      get() {
        if (!read.includes(slot)) read.push(slot);
        return partAt(slot, asked[slot] ?? 0);
      },
    });
  }

  return {
    bytes: () => table.byteLength + nodes.bytes(),
    ask: <T>(run: (world: World) => T): Asked<T> => {
      let root = -1;
      /** By the number of the part read first, the node it leads to plus one: looked up most, so not in the table. */
      let seconds = new Int32Array(64);
      const learn = (ids: Uint16Array): Answer<T> => {
        asked = ids;
        read = [];
        const value = run(recorder);
        const answer = { value, reads: read.reduce((mask, slot) => mask | (1 << slot), 0) };
        const leaf = SLOTS.length + answers.push(answer) - 1;
        const nodeAt = (depth: number): number => {
          nodes.push(read[depth] ?? leaf);
          return nodes.count() - 1;
        };
        if (root < 0) root = nodeAt(0);
        let node = root;
        for (const [depth, slot] of read.entries()) {
          if (nodes.at(node) !== slot) throw new Error('it made something else of the same parts');
          const id = ids[slot] ?? 0;
          const known = (depth === 0 ? (seconds[id] ?? 0) : (table[placeOf(node, id) + 2] ?? 0)) - 1;
          const child = known < 0 ? nodeAt(depth + 1) : known;
          if (known < 0 && depth > 0) put(node, id, child);
          if (depth === 0) {
            if (id >= seconds.length) seconds = enlarged(seconds, id + 1);
            seconds[id] = child + 1;
          }
          node = child;
        }
        return answer;
      };
      return (ids) => {
        if (root < 0) return learn(ids);
        const first = nodes.at(root);
        if (first >= SLOTS.length) return answers[first - SLOTS.length] as Answer<T>;
        for (let node = (seconds[ids[first] ?? 0] ?? 0) - 1; node >= 0; ) {
          const slot = nodes.at(node);
          if (slot >= SLOTS.length) return answers[slot - SLOTS.length] as Answer<T>;
          node = (table[placeOf(node, ids[slot] ?? 0) + 2] ?? 0) - 1;
        }
        return learn(ids);
      };
    },
  };
}

function enlarged(list: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(length * 2);
  larger.set(list);
  return larger;
}
