/** Operations that wait for a fence to end: bounded, in order, and each for a bounded time. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Environment } from '../environment.ts';
import type { Admitted } from './member.ts';

export interface FenceQueue {
  /** Waits until `release` has an admission for it, while some time is left. Rejects with `StoreUnavailable`, outcome none. */
  wait(reason: 'no-lease' | 'queue-full', leftMs: () => number): Promise<Admitted>;
  /** Lets everyone go on for whom `admit` has an answer now, in order. */
  release(admit: () => Admitted | null): void;
  /** Turns everyone away. */
  close(): void;
  readonly length: number;
}

interface Waiter {
  readonly resolve: (admitted: Admitted) => void;
  readonly reject: (error: Error) => void;
  readonly leave: AbortController;
}

export function createFenceQueue(environment: Environment, max: number): FenceQueue {
  const waiters = new Set<Waiter>();

  function turnAway(waiter: Waiter, reason: 'no-lease' | 'queue-full'): void {
    if (waiters.delete(waiter)) waiter.reject(new StoreUnavailable(null, 'none', reason));
  }

  /** Asked again once it is over: what it waits for may have become something else. */
  async function watch(waiter: Waiter, reason: 'no-lease' | 'queue-full', leftMs: () => number) {
    const { signal } = waiter.leave;
    for (let ms = leftMs(); ms > 0 && !signal.aborted; ms = leftMs()) await environment.sleep(ms, signal);
    turnAway(waiter, reason);
  }

  return {
    wait(reason, leftMs) {
      if (waiters.size >= max) return Promise.reject(new StoreUnavailable(null, 'none', 'queue-full'));
      return new Promise((resolve, reject) => {
        const waiter: Waiter = { resolve, reject, leave: new AbortController() };
        waiters.add(waiter);
        void watch(waiter, reason, leftMs);
      });
    },
    release(admit) {
      for (const waiter of waiters) {
        const admitted = admit();
        if (admitted === null) return;
        waiters.delete(waiter);
        waiter.leave.abort('gone');
        waiter.resolve(admitted);
      }
    },
    close() {
      for (const waiter of waiters) {
        turnAway(waiter, 'no-lease');
        waiter.leave.abort('gone');
      }
    },
    get length() {
      return waiters.size;
    },
  };
}
