/** Whether from each state there is a way to a goal, without keeping the edges: what they were is asked again. */
import type { Growing } from './growing.ts';

export interface Ways {
  readonly states: number;
  /** One successor of each state; itself or an earlier one tells nothing. */
  readonly onwards: Growing;
  readonly isGoal: (state: number) => boolean;
  /** Whether any successor of this state is good. */
  readonly hasGood: (state: number, isGood: (successor: number) => boolean) => boolean;
  /** Of which states it is asked; default: of all. */
  readonly isAsked?: (state: number) => boolean;
}

/** The first state without a way; null when each has one. */
export function findWays({ states, onwards, isGoal, hasGood, isAsked }: Ways): number | null {
  const good = new Uint8Array(states);
  const isGood = (state: number): boolean => good[state] === 1;
  let open: number[] = [];
  // Backwards, since a way on leads to later states far more often than not.
  for (let state = states - 1; state >= 0; state--) {
    const onward = onwards.at(state);
    if ((onward > state && isGood(onward)) || isGoal(state)) good[state] = 1;
    else open.push(state);
  }
  for (let before = -1; before !== open.length; ) {
    before = open.length;
    open = open.filter((state) => {
      if (hasGood(state, isGood)) good[state] = 1;
      return good[state] === 0;
    });
  }
  const stuck = open.filter((state) => isAsked?.(state) ?? true);
  return stuck.length === 0 ? null : Math.min(...stuck.slice(-1));
}
