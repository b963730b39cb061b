import type { z } from 'zod';
import type { SessionRecord, UserRecord } from '../../db/records.ts';
import type { sessionView, userView } from './schemas.ts';

/** A living user as clients see them. */
export function viewUser(user: Omit<UserRecord, 'stamp'>): z.infer<typeof userView> {
  return {
    id: user.id,
    email: user.email ?? '',
    name: user.name,
    isVerified: user.isVerified,
    createdAt: user.createdAt.toISOString(),
  };
}

/** A session as its owner sees it. */
export function viewSession(session: SessionRecord, currentId: string): z.infer<typeof sessionView> {
  return {
    id: session.id,
    createdAt: session.createdAt.toISOString(),
    lastUsedAt: session.rotatedAt.toISOString(),
    expiresAt: session.idleExpiresAt.toISOString(),
    userAgent: session.userAgent,
    current: session.id === currentId,
  };
}
