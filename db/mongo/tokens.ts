import { HASHED } from '../canonical.ts';
import { type DocumentId, decodeIds } from '../ids.ts';
import type { DueMail, MailPurpose, PresentedToken, Repository } from '../port.ts';
import type { New, ResetTokenRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { MAIL_DUE_FROM } from './indexes.ts';
import { inSteps } from './steps.ts';
import { outcome } from './users.ts';
import { change, find, findAll, insert, type Scope } from './writes.ts';

type Tokens = Pick<
  Repository,
  | 'addVerificationToken'
  | 'findVerificationToken'
  | 'verifyEmail'
  | 'requestReset'
  | 'findResetToken'
  | 'consumeReset'
  | 'listDueMail'
  | 'moveMailDue'
>;

/** Tokens of one user and generation: only legacy ones share one, and the old service's TTL kept those few. */
const RIVALS_MAX = 1000;

/** Documents that share a token. */
const SHARED_MAX = 100;

export function createTokens(scope: Scope): Tokens {
  const { client } = scope;
  const { codec } = client;

  async function findToken<E extends MailPurpose>(purpose: E, presented: PresentedToken) {
    const filter = { [codec.path(purpose, 'token').text]: { $in: spellings(presented) } };
    const all = await findAll(client, purpose, filter, { limit: SHARED_MAX });
    // Legacy documents may share a token: the newest has it, whatever order the server has them in.
    const [found] = all.sort((a, b) => (transitions.isNewerToken(a.record, b.record) ? -1 : 1));
    if (found === undefined) return null;
    const user = await find(client, 'user', found.record.userId);
    return { token: found.record, user: user?.record ?? null };
  }

  async function isSuperseded(token: ResetTokenRecord): Promise<boolean> {
    const filter = { [codec.path('resetToken', 'userId').text]: { $in: references(token.userId) } };
    const rivals = await findAll(client, 'resetToken', filter, { limit: RIVALS_MAX });
    return rivals.some(
      ({ record }) => record.generation === token.generation && transitions.isNewerToken(record, token),
    );
  }

  async function storeDecoy(inner: Scope, token: New<ResetTokenRecord>): Promise<void> {
    await insert(inner, 'resetToken', token);
    await change(inner, 'resetToken', token.id, (stored) => ({ next: stored }));
  }

  return {
    addVerificationToken: (token) => insert(scope, 'verificationToken', token),

    findVerificationToken: (presented) => findToken('verificationToken', presented),

    async verifyEmail(change_) {
      return outcome(
        await change(scope, 'user', change_.userId, (user) => transitions.verifyEmail(user, change_)),
      );
    },

    requestReset: ({ token, decoy, now }) =>
      inSteps(scope, async (inner) => {
        if (decoy) {
          await storeDecoy(inner, { ...token, generation: 0 });
          return 'done';
        }
        const raised = await change(inner, 'user', token.userId, (user) =>
          transitions.raiseResetGeneration(user, { now }),
        );
        if (raised === null || 'refused' in raised) return 'gone';
        await insert(inner, 'resetToken', { ...token, generation: raised.done.resetGeneration });
        return 'done';
      }),

    async findResetToken(presented) {
      const found = await findToken('resetToken', presented);
      return found && { ...found, superseded: await isSuperseded(found.token) };
    },

    async consumeReset(change_) {
      return outcome(
        await change(scope, 'user', change_.userId, (user) => transitions.consumeReset(user, change_)),
      );
    },

    async listDueMail({ now, limit }) {
      const due = (purpose: MailPurpose) => ({
        mailDueAt: { $gt: MAIL_DUE_FROM, $lte: now },
        [codec.path(purpose, 'expiresAt').text]: { $gt: codec.time(purpose, 'expiresAt', now) },
      });
      const options = { limit, sort: { mailDueAt: 1 } } as const;
      const verifications = await findAll(client, 'verificationToken', due('verificationToken'), options);
      const resets = await findAll(client, 'resetToken', due('resetToken'), options);
      const all: DueMail[] = [
        ...verifications.map(({ record }) => ({ purpose: 'verificationToken', token: record }) as const),
        ...resets.map(({ record }) => ({ purpose: 'resetToken', token: record }) as const),
      ];
      return all.sort((a, b) => Number(a.token.mailDueAt) - Number(b.token.mailDueAt)).slice(0, limit);
    },

    async moveMailDue({ purpose, tokenId, from, to }) {
      const result =
        purpose === 'resetToken'
          ? await change(scope, purpose, tokenId, (token) => transitions.moveMailDue(token, { from, to }))
          : await change(scope, purpose, tokenId, (token) => transitions.moveMailDue(token, { from, to }));
      return result !== null && 'done' in result;
    },
  };
}

/** A stored hash must not work as a token itself: what looks like one is looked up by its own hash only. */
function spellings({ clear, hash }: PresentedToken): readonly string[] {
  return clear.startsWith(HASHED) ? [HASHED + hash] : [HASHED + hash, clear];
}

/** Old services referred to users by ObjectId or by its digits. None refers by null, which also is what has no reference. */
export function references(userId: string): readonly DocumentId[] {
  return [...new Set([...decodeIds([userId]), userId])].filter((value) => value !== null);
}
