/** Many seeds, one after the other, and what happened in all of them. */
import type { Rules } from '../../../cutover/protocol/rules.ts';
import type { Kind } from './shape.ts';
import { type Result, simulate } from './simulate.ts';

export interface CampaignOptions {
  readonly from: number;
  readonly seeds: number;
  /** Default: long. */
  readonly kind?: Kind;
  readonly rules?: Rules;
  /** Ends at the first seed that fails. */
  readonly untilFailure?: boolean;
  /** Begins no seed after so long, ms of the real clock; what was run until then counts. */
  readonly budgetMs?: number;
  readonly onResult?: (result: Result) => void;
}

export interface Campaign {
  readonly seeds: number;
  readonly failed: readonly Result[];
  readonly steps: number;
  readonly totals: ReadonlyMap<string, number>;
  /** Of operations at a fence or for a lease, in runs without faults of stores and network. */
  readonly longestWaitMs: number;
  readonly seconds: number;
}

export async function campaign(options: CampaignOptions): Promise<Campaign> {
  const {
    from,
    seeds,
    kind = 'long',
    rules,
    untilFailure = false,
    budgetMs = Number.POSITIVE_INFINITY,
    onResult,
  } = options;
  const totals = new Map<string, number>();
  const failed: Result[] = [];
  const startedMs = performance.now();
  // Errors are the daily bread here, and their stacks cost more than all else.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  let steps = 0;
  let longestWaitMs = 0;
  let seed = from;
  try {
    while (seed < from + seeds && performance.now() - startedMs < budgetMs) {
      const result = await simulate({ seed, kind, ...(rules && { rules }) });
      seed += 1;
      steps += result.steps;
      if (/calm$|^first$/.test(result.climate)) longestWaitMs = Math.max(longestWaitMs, result.longestWaitMs);
      for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times);
      onResult?.(result);
      if (result.violations.length === 0) continue;
      failed.push(result);
      if (untilFailure) break;
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  return { seeds: seed - from, failed, steps, totals, longestWaitMs, seconds };
}

/** A failure for people: its seed, and the first things that were wrong. */
export function describe({ seed, climate, violations }: Result): string {
  const lines = violations.slice(0, 8).map(({ rule, what, entry }) => {
    const call =
      entry === null
        ? ''
        : ` (call ${entry.order}: ${entry.process} ${entry.name}, ${entry.startMs.toFixed(1)} to ${entry.endMs.toFixed(1)} ms)`;
    return `  ${rule}: ${what}${call}`;
  });
  return [`seed ${seed} (${climate}): ${violations.length} violations`, ...lines].join('\n');
}
