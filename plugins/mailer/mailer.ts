import type { Mail } from './delivery.ts';
import { passwordChangedMail, resetMail, tokenLink, verificationMail } from './templates.ts';

export interface Receiver {
  readonly email: string;
}

/** All throw `MailFailed` after their own retries; none is to be awaited before a reply. */
export interface Mailer {
  deliver(mail: Mail): Promise<void>;
  sendVerification(to: Receiver, token: string): Promise<void>;
  sendReset(to: Receiver, token: string): Promise<void>;
  sendPasswordChanged(to: Receiver): Promise<void>;
}

export interface MailerOptions {
  readonly serviceName: string;
  readonly appUrl: string;
  readonly verificationTtlMs: number;
  readonly resetTtlMs: number;
  readonly deliver: (mail: Mail, giveUpAfterMs: number) => Promise<void>;
}

/** Shorter than it takes another instance to send a token's mail in our place. */
const GIVE_UP_AFTER_MS = 18_000;

/** No other instance knows of a notice, so it is tried for longer. */
const NOTICE_GIVE_UP_AFTER_MS = 10 * 60_000;

export function createMailer(options: MailerOptions): Mailer {
  const { serviceName, appUrl, deliver } = options;
  return {
    deliver: (mail) => deliver(mail, GIVE_UP_AFTER_MS),
    sendVerification({ email }, token) {
      const link = tokenLink(appUrl, 'verify-email', token);
      const content = verificationMail({ serviceName, link, ttlMs: options.verificationTtlMs });
      return deliver({ to: email, ...content }, GIVE_UP_AFTER_MS);
    },
    sendReset({ email }, token) {
      const link = tokenLink(appUrl, 'reset-password', token);
      const content = resetMail({ serviceName, link, ttlMs: options.resetTtlMs });
      return deliver({ to: email, ...content }, GIVE_UP_AFTER_MS);
    },
    sendPasswordChanged: ({ email }) =>
      deliver({ to: email, ...passwordChangedMail({ serviceName }) }, NOTICE_GIVE_UP_AFTER_MS),
  };
}
