/** What the invariants speak of, of all states that a search reached: to compare one search with another. */
import { isAtRest } from './checks.ts';
import { explore, type Result } from './explore.ts';
import type { Reductions, Scenario } from './model.ts';
import { ackedBits, bitsOf } from './operations.ts';

export interface Facts {
  readonly result: Result;
  /** Epochs, which stores are up, what both hold, and whether all is at rest: with which operations acknowledged. */
  readonly reached: ReadonlyMap<string, ReadonlySet<number>>;
}

export function factsOf(scenario: Scenario, reductions: Reductions): Facts {
  const reached = new Map<string, Set<number>>();
  const result = explore(scenario, {
    reductions,
    onState(world, context) {
      const { mongoUp, postgresUp } = world.env;
      const fact = JSON.stringify({
        epochs: [world.cm.epoch, world.cp.epoch],
        up: [mongoUp, postgresUp],
        contents: [bitsOf(world.dm), bitsOf(world.dp)],
        rest: isAtRest(world, context),
      });
      const acked = reached.get(fact) ?? new Set();
      reached.set(fact, acked.add(ackedBits(world)));
    },
  });
  return { result, reached };
}

/** Facts of `other` that `facts` has not, with as many operations acknowledged or more. */
export function notCovered({ reached }: Facts, other: Facts): readonly string[] {
  const missing: string[] = [];
  for (const [fact, ackeds] of other.reached) {
    const known = [...(reached.get(fact) ?? [])];
    for (const acked of ackeds) {
      if (!known.some((more) => (more & acked) === acked)) missing.push(`${fact}, acknowledged ${acked}`);
    }
  }
  return missing;
}
