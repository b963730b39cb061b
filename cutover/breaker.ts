/**
 * Keeps attempts away from a store that is not the authority while they would only fail: it opens after too many
 * failures within a window, and after a time lets one attempt through to see. It never guards the authority.
 */
import type { Environment } from './environment.ts';
import type { Settings } from './settings.ts';

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface Breaker {
  /** Whether an attempt may be made now; while half-open only one at a time. Its end is told by `succeed` or `fail`. */
  allow(): boolean;
  succeed(): void;
  fail(): void;
  state(): BreakerState;
  /** Milliseconds until `allow` may say yes; 0: it would now. */
  retryInMs(): number;
}

export interface BreakerOptions {
  readonly environment: Pick<Environment, 'now'>;
  /** Asked at each use. */
  readonly settings: () => Pick<Settings, 'breaker-failures' | 'breaker-window-ms' | 'breaker-half-open-ms'>;
  readonly onChange?: (to: BreakerState, from: BreakerState) => void;
}

export function createBreaker({ environment, settings, onChange }: BreakerOptions): Breaker {
  let state: BreakerState = 'closed';
  /** When each of the latest failures was, oldest first; never more than open it. */
  let failures: readonly number[] = [];
  /** When it opened; while half-open, when the present attempt began. */
  let sinceMs = 0;

  const nowMs = (): number => environment.now().monotonicMs;

  function change(to: BreakerState): void {
    const from = state;
    state = to;
    sinceMs = nowMs();
    failures = [];
    if (from !== to) onChange?.(to, from);
  }

  // An attempt that was never told of holds the breaker for this long too, not for ever.
  const retryInMs = (): number =>
    state === 'closed' ? 0 : Math.max(0, sinceMs + settings()['breaker-half-open-ms'] - nowMs());

  return {
    state: () => state,
    retryInMs,
    allow() {
      if (retryInMs() > 0) return false;
      if (state !== 'closed') change('half-open');
      return true;
    },
    succeed() {
      // While open it is an old attempt that ends: it says nothing about now.
      if (state === 'half-open') change('closed');
    },
    fail() {
      if (state === 'half-open') change('open');
      if (state !== 'closed') return;
      const windowStart = nowMs() - settings()['breaker-window-ms'];
      failures = [...failures.filter((at) => at > windowStart), nowMs()];
      if (failures.length >= settings()['breaker-failures']) change('open');
    },
  };
}
