/** Histories made by hand, for the checker's own tests: one address, times in seconds. */
import type { Answer, Call, Operation, Outcome } from '../history/types.ts';

export interface Script {
  readonly operations: readonly Operation[];
  /** Answered with success, from second `from` to second `to`; gives the operation's id. */
  ok(call: Call, from: number, to: number, answer?: Answer): number;
  refused(call: Call, from: number, to: number, code: string): number;
  /** Never answered. */
  unknown(call: Call, from: number): number;
  failed(call: Call, from: number, to: number): number;
}

export function script(email = 'ada@example.test'): Script {
  const operations: Operation[] = [];
  const add = (call: Call, from: number, to: number | null, outcome: Outcome): number => {
    const id = operations.length + 1;
    const completedMs = to === null ? null : to * 1_000;
    operations.push({ id, email, call, instance: 'a', invokedMs: from * 1_000, completedMs, outcome });
    return id;
  };
  return {
    operations,
    ok: (call, from, to, answer = {}) => add(call, from, to, { kind: 'ok', answer }),
    refused: (call, from, to, code) => add(call, from, to, { kind: 'refused', code }),
    unknown: (call, from) => add(call, from, null, { kind: 'unknown', reason: 'timeout' }),
    failed: (call, from, to) => add(call, from, to, { kind: 'failed', reason: 'unreachable' }),
  };
}
