import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyBaseLogger } from 'fastify';
import type { DueMail, MailPurpose, Repository } from '../../../db/port.ts';
import type { MailedToken, New, UserRecord } from '../../../db/records.ts';
import type { Background } from '../../../plugins/background.ts';
import type { Keyring } from '../../../plugins/keys/keyring.ts';
import { type Mailer, MailFailed } from '../../../plugins/mailer.ts';
import { deriveToken, MAIL_TAKEOVER_MS } from './mail-tokens.ts';

/** Mails tokens after the reply, and again from any instance if the one that promised it died. */
export interface Outbox {
  /**
   * Sends the mail in the background and settles its record, unsent when `admit` says no. The record must be committed
   * already.
   */
  dispatch(
    purpose: MailPurpose,
    token: New<MailedToken>,
    user: Pick<UserRecord, 'email'>,
    admit?: () => Promise<boolean>,
  ): void;
  /** Sends what other instances left; how many were sent. */
  sweep(): Promise<number>;
  /** Mails that the last sweep left to instances that have the secret they were promised under. */
  withoutKey(): number;
}

const SWEEP_BATCH = 50;
/** The longest pause of a mail that does not get through, ms. */
const PAUSE_MAX_MS = 30 * 60_000;
/** So many are passed over to reach those behind them. */
const WITHOUT_KEY_MAX = 1_000;
/** The reply is out by then: a mail at work beside it would make it later, and so tell that there is one. */
const AFTER_REPLY_MS = 25;

export function createOutbox(deps: {
  readonly repository: Repository;
  readonly keyring: Keyring;
  readonly mailer: Mailer;
  readonly background: Background;
  readonly log: FastifyBaseLogger;
  readonly now: () => Date;
}): Outbox {
  const { repository, keyring, mailer, background, log, now } = deps;

  async function send(purpose: MailPurpose, token: New<MailedToken>, user: Pick<UserRecord, 'email'>) {
    const clear = deriveToken(keyring, purpose, token.nonce);
    if (clear === null || token.mailDueAt === null || user.email === null) return;
    const to = { email: user.email };
    try {
      if (purpose === 'verificationToken') await mailer.sendVerification(to, clear);
      else await mailer.sendReset(to, clear);
    } catch (error) {
      if (!(error instanceof MailFailed) || error.reason !== 'refused') throw error;
      // It would be refused again, until the token ends, at the cost of our name with the mail server.
      log.warn({ err: error, tokenId: token.id, purpose }, 'mail refused for good');
    }
    await settle(purpose, token);
  }

  /** Never throws: what was not sent is due again. */
  async function isSent(...mail: Parameters<typeof send>): Promise<boolean> {
    try {
      await send(...mail);
      return true;
    } catch (error) {
      const [purpose, { id: tokenId }] = mail;
      log.warn({ err: error, tokenId, purpose }, 'mail not sent, it stays due');
      return false;
    }
  }

  async function settle(purpose: MailPurpose, { id: tokenId, mailDueAt: from }: New<MailedToken>) {
    if (from !== null) await repository.moveMailDue({ purpose, tokenId, from, to: null });
  }

  /** The user to mail to, or null when the mail has lost its purpose. */
  async function recipient(purpose: MailPurpose, token: MailedToken & { generation?: number }) {
    const user = await repository.findUser(token.userId);
    if (user === null || user.deletedAt !== null) return null;
    const obsolete =
      purpose === 'verificationToken' ? user.isVerified : token.generation !== user.resetGeneration;
    return obsolete ? null : user;
  }

  /**
   * It has waited for so long already, and may as long again: a server that takes each mail and loses its answer, or that
   * knows no such receiver for now, would get thousands in the life of one token.
   */
  function nextDue({ createdAt }: New<MailedToken>): Date {
    const nowMs = now().getTime();
    const pauseMs = Math.min(PAUSE_MAX_MS, Math.max(MAIL_TAKEOVER_MS, nowMs - createdAt.getTime()));
    return new Date(nowMs + pauseMs);
  }

  let withoutKey = 0;

  /** What is due and can be mailed from here. A mail of a secret that only others have is theirs, until it expires. */
  async function listMailable(): Promise<readonly DueMail[]> {
    for (let passedOver = withoutKey; ; passedOver = withoutKey) {
      const due = await repository.listDueMail({ now: now(), limit: SWEEP_BATCH + passedOver });
      const mailable = due.filter(
        ({ purpose, token }) => token.nonce === null || deriveToken(keyring, purpose, token.nonce) !== null,
      );
      withoutKey = Math.min(due.length - mailable.length, WITHOUT_KEY_MAX);
      if (withoutKey <= passedOver) return mailable;
      log.warn(
        { mails: withoutKey },
        'mails are due that only an instance with another AUTH_SECRETS can send',
      );
    }
  }

  return {
    withoutKey: () => withoutKey,
    dispatch(purpose, token, user, admit) {
      background.run(`mail ${purpose}`, async () => {
        await delay(AFTER_REPLY_MS);
        if (admit === undefined || (await admit())) await send(purpose, token, user);
        else await settle(purpose, token);
      });
    },
    async sweep() {
      const sends: Promise<boolean>[] = [];
      try {
        for (const { purpose, token } of await listMailable()) {
          const from = token.mailDueAt;
          if (from === null) continue;
          const user = token.nonce === null ? null : await recipient(purpose, token);
          const to = user ? nextDue(token) : null;
          // Whoever moves the due time first sends; the others find it moved.
          const won = await repository.moveMailDue({ purpose, tokenId: token.id, from, to });
          // Side by side: mails that their receiver's server puts off would keep those behind them waiting past their links' end.
          if (won && user !== null) sends.push(isSent(purpose, { ...token, mailDueAt: to }, user));
        }
      } finally {
        await Promise.all(sends);
      }
      return (await Promise.all(sends)).filter(Boolean).length;
    },
  };
}
