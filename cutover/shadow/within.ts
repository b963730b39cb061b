import type { Environment } from '../environment.ts';

/** The work took longer than it may. It goes on behind the back of whoever asked for it, and counts for nothing. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

/** What the work comes to, if it does within `ms`; rejects with `TooSlow` otherwise. */
export async function within<T>(environment: Environment, ms: number, work: () => Promise<T>): Promise<T> {
  const done = new AbortController();
  const tooSlow = environment.sleep(ms, done.signal).then(() => {
    // The work's end ends it as well, and an error with its stack costs more than all else here.
    if (!done.signal.aborted) throw new TooSlow(ms);
  });
  try {
    const answer = work();
    await Promise.race([answer, tooSlow]);
    return await answer;
  } finally {
    done.abort('done');
  }
}
