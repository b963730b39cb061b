/** How long one call takes where there is no store behind it: what both sides of the router's comparison measure alike. */
import type { Mode } from '../../../cutover/mode.ts';

export interface CallsRequest {
  readonly mode: Mode;
  readonly kind: 'read' | 'write';
  /** Made one after the other, each awaited. */
  readonly calls: number;
}

export interface CallsAnswer {
  /** Of one call, on average, µs. */
  readonly microseconds: number;
}

export async function timeCalls(calls: number, call: () => Promise<unknown>): Promise<CallsAnswer> {
  const startMs = performance.now();
  for (let made = 0; made < calls; made += 1) await call();
  return { microseconds: ((performance.now() - startMs) * 1_000) / calls };
}
