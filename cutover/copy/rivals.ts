/** What the rules of a policy look at in users that share an e-mail. */
import type { Codec, Doc } from '../../db/canonical.ts';
import { decodeId } from '../../db/ids.ts';
import type { UserRecord } from '../../db/records.ts';
import type { DuplicatePolicy, Rival } from './policy.ts';

/** Of a user's sessions in MongoDB. */
export type FindSession = (
  filter: Doc,
  options: { readonly sort: Doc; readonly projection: Doc },
) => Promise<Doc | null>;

/** A user as the policy sees it; the last login is only asked for where a rule wants it. */
export async function rivalOf(
  { rules }: DuplicatePolicy,
  { doc, user }: { readonly doc: Doc; readonly user: UserRecord },
  codec: Codec,
  findSession: FindSession,
): Promise<Rival> {
  const isAsked = rules.includes('most-recent-login');
  const { id, createdAt, isVerified } = user;
  return {
    id,
    createdAt,
    isVerified,
    lastLoginAt: isAsked ? await lastLogin(codec, doc, id, findSession) : null,
  };
}

/** By what the mapping names, and by sessions of this service: whichever is later. */
async function lastLogin(
  codec: Codec,
  doc: Doc,
  userId: string,
  findSession: FindSession,
): Promise<Date | null> {
  const filter = { userId: decodeId(userId) };
  const session = await findSession(filter, { sort: { createdAt: -1 }, projection: { createdAt: 1 } });
  const opened: unknown = session?.['createdAt'];
  const times = [codec.lastLoginAt(doc), opened].filter((at) => at instanceof Date);
  return times.sort((a, b) => b.getTime() - a.getTime())[0] ?? null;
}
