import { setTimeout as delay } from 'node:timers/promises';
import type { Repository } from '../../../db/port.ts';

/** Between two batches clients have the store to themselves, ms. */
const PAUSE_MS = 50;

/** Deletes all tokens and sessions that expired before then, batch by batch, until none is left or `closing` aborts. */
export async function purgeExpired(
  repository: Pick<Repository, 'purge'>,
  query: { readonly expiredBefore: Date; readonly batch: number },
  closing: AbortSignal,
): Promise<void> {
  while (!closing.aborted) {
    const { expiredBefore, batch: limit } = query;
    const purged = await repository.purge({ expiredBefore, limit });
    if (Object.values(purged).every((count) => count === 0)) return;
    await delay(PAUSE_MS, undefined, { signal: closing }).catch(() => {});
  }
}
