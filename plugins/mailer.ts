import fp from 'fastify-plugin';
import { createDelivery, type Send } from './mailer/delivery.ts';
import { createInbox, type Inbox } from './mailer/inbox.ts';
import { createMailer, type Mailer } from './mailer/mailer.ts';
import { createSmtp } from './mailer/smtp.ts';

export { MailFailed } from './mailer/delivery.ts';
export type { Mailer } from './mailer/mailer.ts';

declare module 'fastify' {
  interface FastifyInstance {
    readonly mailer: Mailer;
    /** Where mails go in development without SMTP_URL; null otherwise. */
    readonly inbox: Inbox | null;
  }
}

const PENDING_MAX = 1_000;
/** As long as the socket may be silent: a server that looks into each mail before it takes it would get it again and again. */
const ATTEMPT_TIMEOUT_MS = 20_000;
const RETRY_BASE_MS = 250;
const RETRY_MAX_MS = 30_000;

/** Part of the shutdown grace that mails may take; what else has to close needs the rest. */
const DRAIN_SHARE = 0.75;

interface Outlet {
  readonly send: Send;
  close(): void;
}

export default fp(
  async (app) => {
    const { config, metrics } = app;
    const { smtpUrl } = config;
    if (smtpUrl === null && config.production) throw new Error('production sends mails: SMTP_URL is missing');
    const inbox = createInbox();
    const outlet: Outlet =
      smtpUrl === null
        ? { send: async (mail) => inbox.add(mail), close() {} }
        : createSmtp({ url: smtpUrl, from: config.mailFrom, tlsRequired: config.smtpTlsRequired });
    const delivery = createDelivery({
      send: outlet.send,
      pendingMax: PENDING_MAX,
      attemptTimeoutMs: ATTEMPT_TIMEOUT_MS,
      retryBaseMs: RETRY_BASE_MS,
      retryMaxMs: RETRY_MAX_MS,
      onResult: (result) => metrics.mail(result),
    });
    metrics.gauge('mails_pending', 'Mails that are being sent or wait for a retry', delivery.pending);
    app.decorate('mailer', createMailer({ ...config, deliver: delivery.deliver }));
    app.decorate('inbox', smtpUrl === null ? inbox : null);
    app.addHook('onClose', async () => {
      // What goes on after its reply is closed later, and mails until then.
      await delivery.close(config.shutdownGraceMs * DRAIN_SHARE, app.background.close());
      outlet.close();
    });
  },
  { name: 'mailer', dependencies: ['config', 'metrics', 'background'] },
);
