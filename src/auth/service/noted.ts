import { StoreUnavailable } from '../../../db/errors.ts';
import type { OpenedSession } from '../../../db/port.ts';
import type { AuditEvent } from '../../../plugins/logger/audit.ts';
import type { Caller } from './context.ts';

/**
 * What came of a write. When nobody knows, the trail says so: the store may have done it, and only its answer was lost.
 * The client is told to try again then, and its next try may find that there is nothing left to do.
 */
export async function noted<T>(
  caller: Caller,
  event: Omit<AuditEvent, 'outcome'>,
  write: Promise<T>,
  onUnknown?: () => void,
): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (error instanceof StoreUnavailable && error.outcome === 'unknown') {
      caller.audit({ ...event, outcome: 'unknown' });
      onUnknown?.();
    }
    throw error;
  }
}

/** Notes the sessions that ended because one was opened. */
export function noteEnded(caller: Caller, { ended }: OpenedSession): void {
  for (const { id: sessionId, userId, revokedReason } of ended) {
    const reason = revokedReason ?? undefined;
    caller.audit({ event: 'session-ended', outcome: 'success', reason, userId, sessionId });
  }
}
