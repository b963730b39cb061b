/**
 * What everybody may rely on. Each record has a few numbers that only ever rise: generations, rotations, verified,
 * revoked, erased. An answer that has been given sets a floor under every read that begins after it, on any instance
 * and in any mode; a read below its floor has lost something that was acknowledged, or has seen something come back.
 */

export type Levels = Readonly<Record<string, number>>;

interface Raised {
  readonly tick: number;
  readonly levels: Levels;
}

const NOTHING: Levels = {};

export interface Floors {
  /** The floor as it was before that tick. */
  before(record: string, tick: number): Levels;
  /** To be called in the order of ticks. */
  raise(record: string, seen: Levels, tick: number): void;
  records(): Iterable<string>;
}

export function createFloors(): Floors {
  const floors = new Map<string, Raised[]>();
  const before = (record: string, tick: number): Levels =>
    floors.get(record)?.findLast((raised) => raised.tick < tick)?.levels ?? NOTHING;
  return {
    before,
    records: () => floors.keys(),
    raise(record, seen, tick) {
      const known = before(record, Number.POSITIVE_INFINITY);
      const rising = Object.entries(seen).filter(([level, value]) => value > (known[level] ?? 0));
      if (rising.length === 0) return;
      const raised = { tick, levels: { ...known, ...Object.fromEntries(rising) } };
      const history = floors.get(record);
      if (history === undefined) floors.set(record, [raised]);
      else history.push(raised);
    },
  };
}

/** The levels that are seen below their floor, in words. */
export function below(floor: Levels, seen: Levels): readonly string[] {
  return Object.entries(floor)
    .filter(([level, value]) => (seen[level] ?? 0) < value)
    .map(([level, value]) => `${level} ${seen[level] ?? 0} below ${value}`);
}
