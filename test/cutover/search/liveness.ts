/** Whether from each state there is a way to a goal, without keeping the edges: what they were is asked again. */
import type { Growing } from './growing.ts';

export interface Ways {
  readonly states: number;
  /** Some successors of each state, a list for each; the state itself tells nothing. */
  readonly some: readonly Growing[];
  readonly isGoal: (state: number) => boolean;
  /** Whether any successor of this state is good. */
  readonly hasGood: (state: number, isGood: (successor: number) => boolean) => boolean;
  /** Of which states it is asked; default: of all. */
  readonly isAsked?: (state: number) => boolean;
}

/** The first state without a way; null when each has one. */
export function findWays({ states, some, isGoal, hasGood, isAsked }: Ways): number | null {
  const good = new Uint8Array(states);
  const isGood = (state: number): boolean => good[state] === 1;
  for (let state = 0; state < states; state++) if (isGoal(state)) good[state] = 1;
  const spread = (state: number): boolean => {
    if (isGood(state) || !some.some((list) => isGood(list.at(state)))) return false;
    good[state] = 1;
    return true;
  };
  // To and fro until nothing is found any more: this settles nearly all, and takes no step again.
  for (let found = true; found; ) {
    found = false;
    for (let state = states - 1; state >= 0; state--) found = spread(state) || found;
    for (let state = 0; state < states; state++) found = spread(state) || found;
  }
  let open: number[] = [];
  for (let state = states - 1; state >= 0; state--) if (!isGood(state)) open.push(state);
  for (let before = -1; before !== open.length; ) {
    before = open.length;
    open = open.filter((state) => {
      if (some.some((list) => isGood(list.at(state))) || hasGood(state, isGood)) good[state] = 1;
      return good[state] === 0;
    });
  }
  const stuck = open.filter((state) => isAsked?.(state) ?? true);
  return stuck.length === 0 ? null : Math.min(...stuck.slice(-1));
}
