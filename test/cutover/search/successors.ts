/**
 * The successors of a state, whose parts are numbers: what each step does to which parts is asked once (`memo.ts`), and
 * so is what each reduction does.
 */
import { createMemo } from './memo.ts';
import type { Context, Cover, Emit, StepClass, Terms } from './model.ts';
import { createForget } from './reduce/dead.ts';
import { createUrgent } from './reduce/urgent.ts';
import { allSteps } from './steps.ts';
import { draftOf, partsOf, SLOTS, type World } from './world.ts';

/** What becomes of a state: the new numbers of some of its parts. */
export interface Change {
  /** The steps it stands for, in order. */
  readonly steps: readonly { readonly step: string; readonly who: string }[];
  readonly stepClass: StepClass;
  readonly cover: Cover;
  readonly slots: readonly number[];
  readonly ids: readonly number[];
  /** The same slots, one bit each. */
  readonly changed: number;
  /** How often. */
  taken: number;
}

export interface Successors {
  readonly numbersOf: (world: World) => Uint16Array;
  /** Something that is asked of many states. */
  readonly ask: <T>(question: (world: World) => T) => (ids: Uint16Array) => T;
  /** Brings a state to where its urgent steps lead, without its dead parts. Whether it counts. */
  readonly reduce: (ids: Uint16Array, changed: number, onStep?: (taken: Change) => void) => boolean;
  /** Everything that can happen next in the state, with so many faults left; the list is good until the next call. */
  readonly changesOf: (ids: Uint16Array, faultsLeft: number) => readonly Change[];
  readonly timesTaken: () => ReadonlyMap<string, number>;
  readonly bytes: () => number;
}

export const EVERYTHING = (1 << SLOTS.length) - 1;
const ENV = SLOTS.findIndex(({ name }) => name === 'env');
/** More reductions in a row than any state can need: one undoes what another did. */
const REDUCTIONS_MAX = 10_000;

export function createSuccessors(from: Terms): Successors {
  const { reductions } = from;
  const interned = SLOTS.map(() => ({ ids: new Map<string, number>(), parts: [] as World[keyof World][] }));
  const all: Change[] = [];
  let emitted: Change[] = [];
  let noted: Change['steps'] = [];

  const intern = (slot: number, part: World[keyof World]): number => {
    const table = interned[slot];
    const definition = SLOTS[slot];
    if (table === undefined || definition === undefined) throw new Error('no such slot');
    const key = definition.key(part);
    const known = table.ids.get(key);
    if (known !== undefined) return known;
    if (table.parts.length > 0xffff) throw new Error(`too many different ${definition.name}`);
    table.ids.set(key, table.parts.length);
    table.parts.push(part);
    return table.parts.length - 1;
  };
  const partAt = (slot: number, id: number): World[keyof World] => {
    const part = interned[slot]?.parts[id];
    if (part === undefined) throw new Error('no such part');
    return part;
  };
  const memo = createMemo(partAt);

  const changeOf = (
    world: World,
    draft: World,
    steps: Change['steps'],
    stepClass: StepClass,
    cover: Cover,
  ): Change => {
    const parts = partsOf(draft);
    const slots: number[] = [];
    const ids: number[] = [];
    for (const [slot, { name }] of SLOTS.entries()) {
      const part = parts[name];
      if (part === undefined) continue;
      const id = intern(slot, part);
      if (id === intern(slot, world[name])) continue;
      slots.push(slot);
      ids.push(id);
    }
    const changed = slots.reduce((mask, slot) => mask | (1 << slot), 0);
    const change: Change = { steps, stepClass, cover, slots, ids, changed, taken: 0 };
    all.push(change);
    return change;
  };
  let asking: World | null = null;
  const emit: Emit = (step, who, draft, stepClass = 'normal', cover = 'counts') => {
    if (asking === null) throw new Error('nobody asked');
    // How many faults have been paid is the round that is being searched, not a part of the state.
    const env = partsOf(draft).env;
    if (reductions.fewestFaults && env !== undefined) draft.env = { ...env, faultsLeft: 0 };
    emitted.push(changeOf(asking, draft, [...noted, { step, who }], stepClass, cover));
    noted = [];
  };
  const note = (step: string, who: string): void => {
    noted = [...noted, { step, who }];
  };
  const context: Context = { ...from, emit, note };

  const steps = allSteps(context).map((run) =>
    memo.ask((world): readonly Change[] => {
      asking = world;
      emitted = [];
      noted = [];
      run(world);
      return emitted;
    }),
  );
  const urgent = createUrgent(context).map((find) => (world: World): Change | null => {
    const taken = find(world);
    if (taken === null) return null;
    const { step, who, draft, covered } = taken;
    return changeOf(world, draft, [{ step, who }], 'normal', covered ? 'never-begun' : 'counts');
  });
  const dead = createForget(context).map((forget) => (world: World): Change | null => {
    const draft = draftOf(world);
    const change = changeOf(world, draft, [], 'normal', forget(draft) ? 'counts' : 'never-begun');
    return change.changed === 0 && change.cover === 'counts' ? null : change;
  });
  const wanted = [...(reductions.urgent ? urgent : []), ...(reductions.dead ? dead : [])];
  const reducing = wanted.map((find) => memo.ask(find));
  /**
   * By slot, the reductions that have ever looked at it, one bit each. In a state that is reduced none finds anything, so in
   * its successor none does that never looks at what has changed.
   */
  const lookers = new Int32Array(SLOTS.length);
  const looksAt = new Int32Array(reducing.length);
  const learn = (n: number, reads: number): void => {
    looksAt[n] = (looksAt[n] ?? 0) | reads;
    for (let slot = 0; slot < lookers.length; slot++) {
      if (reads & (1 << slot)) lookers[slot] = (lookers[slot] ?? 0) | (1 << n);
    }
  };
  const lookersAt = (changed: number): number => {
    let mask = 0;
    for (let slot = 0; slot < lookers.length; slot++) if (changed & (1 << slot)) mask |= lookers[slot] ?? 0;
    return mask;
  };
  /** The same environment with so many faults left: the one part that a round changes. */
  const withFaults = (id: number, faultsLeft: number): number =>
    intern(ENV, { ...(partAt(ENV, id) as World['env']), faultsLeft });

  const asked = new Uint16Array(SLOTS.length);
  const found: Change[] = [];
  return {
    numbersOf: (world) => Uint16Array.from(SLOTS, ({ name }, slot) => intern(slot, world[name])),
    ask: (question) => {
      const known = memo.ask(question);
      return (ids) => known(ids).value;
    },
    reduce: (ids, changed, onStep) => {
      let due = changed === EVERYTHING ? (1 << reducing.length) - 1 : lookersAt(changed);
      for (let n = 0; due !== 0; n++) {
        if (n > REDUCTIONS_MAX) throw new Error('two reductions undo each other');
        const first = 31 - Math.clz32(due & -due);
        const answer = reducing[first]?.(ids);
        if (answer === undefined) throw new Error('no such reduction');
        const { value, reads } = answer;
        if ((reads & ~(looksAt[first] ?? 0)) !== 0) learn(first, reads);
        if (value === null) {
          due &= ~(1 << first);
          continue;
        }
        value.taken++;
        onStep?.(value);
        if (value.cover !== 'counts') return false;
        for (let at = 0; at < value.slots.length; at++) ids[value.slots[at] ?? 0] = value.ids[at] ?? 0;
        due |= lookersAt(value.changed);
      }
      return true;
    },
    changesOf: (ids, faultsLeft) => {
      asked.set(ids);
      if (faultsLeft > 0) asked[ENV] = withFaults(ids[ENV] ?? 0, faultsLeft);
      found.length = 0;
      for (const ask of steps) for (const change of ask(asked).value) found.push(change);
      return found;
    },
    timesTaken: () => {
      const times = new Map<string, number>();
      for (const change of all) {
        if (change.taken === 0) continue;
        for (const { step } of change.steps) times.set(step, (times.get(step) ?? 0) + change.taken);
      }
      return times;
    },
    bytes: memo.bytes,
  };
}
