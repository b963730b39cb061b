/** What the rules of a policy look at in users that share an e-mail. */
import type { Codec, Doc } from '../../db/canonical.ts';
import { decodeId } from '../../db/ids.ts';
import type { UserRecord } from '../../db/records.ts';
import { type Choice, choose, type DuplicatePolicy } from './policy.ts';

export interface Contender {
  readonly doc: Doc;
  readonly user: UserRecord;
}

/** Of a user's sessions in MongoDB. */
export type FindSession = (
  filter: Doc,
  options: { readonly sort: Doc; readonly projection: Doc },
) => Promise<Doc | null>;

/** The policy's word on them; last logins are only asked for where a rule wants them. */
export async function chooseAmong(
  policy: DuplicatePolicy,
  contenders: readonly Contender[],
  codec: Codec,
  findSession: FindSession,
): Promise<Choice> {
  const isAsked = policy.rules.includes('most-recent-login');
  const rivals = await Promise.all(
    contenders.map(async ({ doc, user }) => ({
      id: user.id,
      createdAt: user.createdAt,
      isVerified: user.isVerified,
      lastLoginAt: isAsked ? await lastLogin(codec, doc, user.id, findSession) : null,
    })),
  );
  return choose(policy, rivals);
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
