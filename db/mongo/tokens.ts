import { at, HASHED, isStamped } from '../canonical.ts';
import { type DocumentId, decodeIds } from '../ids.ts';
import type { DueMail, MailPurpose, PresentedToken, Repository } from '../port.ts';
import type { New, ResetTokenRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { MAIL_DUE_FROM } from './indexes.ts';
import { inSteps } from './steps.ts';
import { outcome } from './users.ts';
import { change, type Found, find, findAll, insert, type Scope } from './writes.ts';

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
    const places = codec.sources(purpose, codec.path(purpose, 'token'));
    const answers = await Promise.all(
      places.map(({ text }) =>
        findAll(client, purpose, { [text]: { $in: spellings(presented) } }, { limit: SHARED_MAX }),
      ),
    );
    // What another place hides is no token of that document's.
    const all = answers.flat().filter(({ record }) => record.tokenHash === presented.hash);
    // Legacy documents may share a token: the newest has it, whatever order the server has them in.
    const [token] = all.sort((a, b) => (transitions.isNewerToken(a.record, b.record) ? -1 : 1));
    if (token === undefined) return null;
    const user = await find(client, 'user', token.record.userId);
    return { token, user: user?.record ?? null };
  }

  /** Legacy tokens of a user say whose they are in the same place, in the same way. */
  async function isSuperseded({ doc, record: token }: Found<'resetToken'>): Promise<boolean> {
    const [written, ...others] = codec.sources('resetToken', codec.path('resetToken', 'userId'));
    const used = isStamped(doc) ? [] : others.filter((place) => (at(doc, place) ?? null) !== null);
    const newest = { [codec.path('resetToken', 'createdAt').text]: -1, _id: -1 } as const;
    for (const place of [written, ...used]) {
      if (place === undefined) continue;
      const own = at(doc, place);
      const whose = [...references(token.userId), ...(typeof own === 'string' ? [own] : [])];
      const filter = { [place.text]: { $in: whose } };
      const rivals = await findAll(client, 'resetToken', filter, { limit: RIVALS_MAX, sort: newest });
      const isNewer = ({ record }: Found<'resetToken'>) =>
        record.userId === token.userId &&
        record.generation === token.generation &&
        transitions.isNewerToken(record, token);
      if (rivals.some(isNewer)) return true;
    }
    return false;
  }

  async function storeDecoy(inner: Scope, token: New<ResetTokenRecord>): Promise<void> {
    await insert(inner, 'resetToken', token);
    await change(inner, 'resetToken', token.id, (stored) => ({ next: stored }));
  }

  return {
    addVerificationToken: (token) => insert(scope, 'verificationToken', token),

    async findVerificationToken(presented) {
      const found = await findToken('verificationToken', presented);
      return found && { token: found.token.record, user: found.user };
    },

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
      if (found === null) return null;
      const { token, user } = found;
      return { token: token.record, user, superseded: await isSuperseded(token) };
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
function spellings({ clear, hash }: PresentedToken): readonly (string | number)[] {
  if (clear.startsWith(HASHED)) return [HASHED + hash];
  const number = Number(clear);
  // Some old services stored a code as a number.
  const isCode = Number.isSafeInteger(number) && String(number) === clear;
  return [HASHED + hash, clear, ...(isCode ? [number] : [])];
}

/** Old services referred to users by ObjectId or by its digits. None refers by null, which also is what has no reference. */
export function references(userId: string): readonly DocumentId[] {
  return [...new Set([...decodeIds([userId]), userId])].filter((value) => value !== null);
}
