/** How long the authority has lately taken to answer this process, for whoever must not make it slower. */
import type { Environment } from './environment.ts';

const WINDOW_MS = 5_000;
/** Of a busy process the last so many say enough. */
const SAMPLES_MAX = 1_000;
/** Fewer say nothing. */
const SAMPLES_MIN = 20;

export interface Latency {
  /** One operation was answered, or given up, after so long. */
  note(ms: number): void;
  /** Of the last seconds, ms; null: too few operations. A single one out of line never decides it. */
  p99Ms(): number | null;
}

export function createLatency(environment: Environment): Latency {
  const took = new Float64Array(SAMPLES_MAX);
  const at = new Float64Array(SAMPLES_MAX).fill(Number.NEGATIVE_INFINITY);
  let next = 0;
  return {
    note(ms) {
      took[next] = ms;
      at[next] = environment.now().monotonicMs;
      next = (next + 1) % SAMPLES_MAX;
    },
    p99Ms() {
      const sinceMs = environment.now().monotonicMs - WINDOW_MS;
      const recent = took.filter((_, place) => (at[place] ?? sinceMs) > sinceMs).sort();
      if (recent.length < SAMPLES_MIN) return null;
      return recent[Math.floor((recent.length - 1) * 0.99)] ?? null;
    },
  };
}
