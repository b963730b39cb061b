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
  const tooSlow = environment.sleep(ms, done.signal).then(() => Promise.reject(new TooSlow(ms)));
  try {
    return await Promise.race([work(), tooSlow]);
  } finally {
    done.abort('done');
  }
}
