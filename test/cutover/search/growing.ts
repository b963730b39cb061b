/** A list of whole numbers that grows, four bytes each. */
export interface Growing {
  readonly push: (value: number) => void;
  readonly at: (index: number) => number;
  readonly count: () => number;
  readonly bytes: () => number;
}

export function createGrowing(): Growing {
  let list = new Uint32Array(1024);
  let length = 0;
  return {
    push: (value) => {
      if (length === list.length) {
        const larger = new Uint32Array(Math.ceil((list.length * 3) / 2));
        larger.set(list);
        list = larger;
      }
      list[length++] = value;
    },
    at: (index) => list[index] ?? 0,
    count: () => length,
    bytes: () => list.byteLength,
  };
}
