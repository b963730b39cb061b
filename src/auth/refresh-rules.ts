import type { SessionRecord, UserRecord } from '../../db/records.ts';
import { isLive } from '../../db/transitions.ts';

/**
 * What a presented refresh token is worth:
 * `rotate`: the current one, give a successor; `replay`: the immediate predecessor inside the leeway (a lost answer,
 * a second tab), give the same successor again; `theft`: a token that was replaced, used again; `invalid`: anything else.
 */
export type RefreshJudgement = 'rotate' | 'replay' | 'theft' | 'invalid';

/** Judges a presented refresh token against its session as stored. `isAncestor` is asked only when it decides. */
export async function judgeRefresh(input: {
  readonly presentedHash: string;
  readonly session: SessionRecord;
  readonly user: UserRecord | null;
  readonly now: Date;
  readonly leewayMs: number;
  readonly isAncestor: () => Promise<boolean>;
}): Promise<RefreshJudgement> {
  const { presentedHash, session, user, now, leewayMs } = input;
  if (!isLive(session, user, now)) return 'invalid';
  if (presentedHash === session.tokenHash) return 'rotate';
  if (presentedHash === session.previousTokenHash) {
    return now.getTime() - session.rotatedAt.getTime() <= leewayMs ? 'replay' : 'theft';
  }
  return (await input.isAncestor()) ? 'theft' : 'invalid';
}
