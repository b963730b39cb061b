import { createTransport } from 'nodemailer';
import { isMailbox } from '../../db/email.ts';
import type { Send } from './delivery.ts';

export interface SmtpOptions {
  /** As `SMTP_URL`. */
  readonly url: string;
  /** As `MAIL_FROM`. */
  readonly from: string;
  /** Refuses a server that offers no STARTTLS. */
  readonly tlsRequired: boolean;
}

const CONNECTIONS_MAX = 5;
const CONNECT_TIMEOUT_MS = 5_000;
const SOCKET_TIMEOUT_MS = 20_000;

/** A pool of connections to the mail server, certificates verified. */
export function createSmtp(options: SmtpOptions): { readonly send: Send; close(): void } {
  const transport = createTransport({
    url: options.url,
    pool: true,
    maxConnections: CONNECTIONS_MAX,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    dnsTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    requireTLS: options.tlsRequired,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    async send({ to, subject, text, html }, signal) {
      if (!isMailbox(to)) throw Object.assign(new Error('not a mailbox'), { code: 'EENVELOPE' });
      await transport.sendMail({
        from: options.from,
        to: { name: '', address: to },
        subject,
        text,
        html,
        // Keeps out-of-office replies from answering.
        headers: { 'Auto-Submitted': 'auto-generated' },
        signal,
      });
    },
    close: () => transport.close(),
  };
}
