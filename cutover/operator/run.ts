/** What the parts of one verb share: the time it may take, and how it tells of its steps. */
import type { OperatorContext } from './types.ts';

export interface Run extends OperatorContext {
  /** On the monotonic clock. */
  readonly untilMs: number;
  readonly say: (step: string, message: string) => void;
}

export function beginRun(context: OperatorContext, timeoutMs: number): Run {
  const startedMs = context.environment.now().monotonicMs;
  return {
    ...context,
    untilMs: startedMs + timeoutMs,
    say: (step, message) =>
      context.report({ step, message, elapsedMs: context.environment.now().monotonicMs - startedMs }),
  };
}

export function isOver(run: Run): boolean {
  return run.environment.now().monotonicMs >= run.untilMs;
}
