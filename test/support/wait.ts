export interface Patience {
  /** When the last failure is thrown. Default 20 s: less than a test may take, more than a machine stalls. */
  readonly timeoutMs?: number;
  /** Between two checks. Default 20 ms. */
  readonly intervalMs?: number;
}

/**
 * Waits for a condition: repeats `check` until it neither throws nor returns false, and returns what it returned.
 * Throws the last failure after the time-out.
 */
export async function eventually<T>(check: () => T | Promise<T>, patience: Patience = {}): Promise<T> {
  const deadline = Date.now() + (patience.timeoutMs ?? 20_000);
  for (;;) {
    try {
      const result = await check();
      if (result !== false) return result;
      if (Date.now() > deadline) throw new Error(`never true: ${check}`);
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, patience.intervalMs ?? 20));
  }
}
