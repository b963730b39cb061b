/** What one client holds: sessions with all their refresh tokens so far, and what it believes of them. */
import type { Reply } from './http.ts';

export interface HeldSession {
  /** The operation that opened it. */
  readonly name: number;
  /** The server's id of it. */
  readonly id: string;
  readonly access: string;
  /** By rotation; the last is the newest that this client was told. */
  readonly tokens: string[];
  /** When the newest was told. */
  toldAtMs: number;
  believedAlive: boolean;
  /** A refresh is under way or was never answered: the newest told may not be the current one. */
  unsure: boolean;
}

export function heldSession(name: number, { body }: Reply): HeldSession | null {
  const { accessToken, refreshToken } = body as { accessToken?: string; refreshToken?: string };
  if (accessToken === undefined || refreshToken === undefined) return null;
  return {
    name,
    id: refreshToken.split('.')[0] ?? '',
    access: accessToken,
    tokens: [refreshToken],
    toldAtMs: performance.now(),
    believedAlive: true,
    unsure: false,
  };
}
