/** As the promise settles, or rejects with `late()` after so many milliseconds; the promise then goes on unheard. */
export async function within<T>(limitMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Callers that wait at the same time share one question, which begins after the last of them has called. */
export function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | null = null;
  return () => {
    next ??= running.then(() => {
      next = null;
      const asked = ask();
      running = asked.catch(() => {});
      return asked;
    });
    return next;
  };
}

/** As `shared`, in one question about all that each of them names. The answer may tell of what others have named. */
export function gathered<T, A>(
  ask: (named: readonly T[]) => Promise<A>,
): (names: readonly T[]) => Promise<A> {
  let waiting: T[] = [];
  const askAll = shared(() => {
    const all = waiting;
    waiting = [];
    return ask(all);
  });
  return (names) => {
    waiting.push(...names);
    return askAll();
  };
}
