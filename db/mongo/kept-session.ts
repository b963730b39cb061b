/**
 * A change of the password is two writes here: the user's, which ends every session, and that of the session it was made
 * from, which is to live on. So the user's own write already names that session, and whoever reads it takes it as it is
 * going to be: between the two its browser would be signed out, and for good if the process died there.
 */
import { createHash } from 'node:crypto';
import { type Doc, STORE_FIELDS } from '../canonical.ts';
import type { SessionRecord } from '../records.ts';
import type { Found } from './writes.ts';

/**
 * For the write of the user. The generation alone would not do: one whose change was taken back, as an orphan is, may come to
 * it again by a reset. `stored` is the generation that the session's document holds: an older one than the user's where the
 * change before this one left it behind.
 */
export function namesKept(
  change: { readonly sessionGeneration: number; readonly newHash: string; readonly keepSessionId: string },
  stored: number,
): Doc {
  const { keepSessionId: id, newHash, sessionGeneration } = change;
  return {
    [STORE_FIELDS.keptSession]: { id, generation: sessionGeneration + 1, by: digest(newHash), from: stored },
  };
}

/** The session as it counts. */
export function asKept(session: SessionRecord, user: Found<'user'> | null): SessionRecord {
  const kept = user?.doc[STORE_FIELDS.keptSession];
  if (user === null || typeof kept !== 'object' || kept === null) return session;
  const { id, generation, by, from } = kept as Readonly<Record<'id' | 'generation' | 'by' | 'from', unknown>>;
  const { sessionGeneration: current, passwordHash } = user.record;
  const isLeftBehind = session.generation === current - 1 || session.generation === from;
  const isNamed = id === session.id && generation === current && isLeftBehind;
  if (!isNamed || passwordHash === null || by !== digest(passwordHash)) return session;
  return { ...session, generation: current };
}

function digest(passwordHash: string): string {
  return createHash('sha256').update(passwordHash).digest('hex');
}
