import { setImmediate } from 'node:timers/promises';
import Fastify from 'fastify';
import { SMTPServer } from 'smtp-server';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../db/embedded/ports.ts';
import background from '../../plugins/background.ts';
import clock from '../../plugins/clock.ts';
import configPlugin, { loadConfig } from '../../plugins/config.ts';
import { createDelivery, type DeliveryOptions } from '../../plugins/mailer/delivery.ts';
import { createSmtp } from '../../plugins/mailer/smtp.ts';
import { escapeHtml, verificationMail } from '../../plugins/mailer/templates.ts';
import mailer, { MailFailed } from '../../plugins/mailer.ts';
import metrics from '../../plugins/metrics.ts';
import openapi from '../../plugins/openapi.ts';
import { startInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';

/** Clients keep their connections: a server that ends before them does not wait for them to let go. */
const CLOSE_TIMEOUT_MS = 200;

/** A server that collects receivers, on this port; with `refuse` it takes none. */
async function startServer(port: number, refuse = false) {
  const receivers: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    logger: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
    onRcptTo({ address }, _session, callback) {
      if (refuse) return callback(Object.assign(new Error(`<${address}> unknown`), { responseCode: 550 }));
      receivers.push(address);
      return callback();
    },
    onData(stream, _session, callback) {
      stream.resume().on('end', () => callback());
    },
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)));
  return receivers;
}

const MAIL = { subject: 'Hello', text: 'Hello', html: '<p>Hello</p>' };
const PATIENT_MS = 60_000;

/** A delivery over real SMTP that retries at once. */
function connectTo(url: string, options: Partial<DeliveryOptions> = {}) {
  const results: string[] = [];
  const smtp = createSmtp({ url, from: 'Auth <no-reply@example.test>', tlsRequired: false });
  const delivery = createDelivery({
    send: smtp.send,
    pendingMax: 100,
    attemptTimeoutMs: PATIENT_MS,
    retryBaseMs: 20,
    retryMaxMs: 50,
    onResult: (result) => results.push(result),
    ...options,
  });
  onTestFinished(async () => {
    await delivery.close(0);
    smtp.close();
  });
  const send = (to: string, mail = MAIL) => delivery.deliver({ to, ...mail }, PATIENT_MS);
  return { ...delivery, results, send };
}

async function startMailer(env: Record<string, string>) {
  const app = Fastify();
  await app.register(configPlugin, { config: loadConfig(env, { production: false }) });
  await app.register(clock);
  await app.register(openapi);
  await app.register(metrics);
  await app.register(background);
  await app.register(mailer);
  onTestFinished(() => app.close());
  return app;
}

describe('delivery', async () => {
  const inbox = await startInbox();

  test('a mail arrives, with its parts', async () => {
    const { send, results } = connectTo(inbox.url);
    await send('ada@example.test');
    const mail = await inbox.mail('ada@example.test', 'notice');
    expect(mail).toMatchObject({
      from: '"Auth" <no-reply@example.test>',
      subject: 'Hello',
      html: '<p>Hello</p>',
    });
    expect(results).toEqual(['sent']);
  });

  test('a temporary refusal is retried until it is accepted', async () => {
    inbox.fail(2);
    const { send, results } = connectTo(inbox.url);
    await send('again@example.test');
    expect(results).toEqual(['retried', 'retried', 'sent']);
    expect(inbox.to('again@example.test', 'notice')).toHaveLength(1);
  });

  test('a server that is down is waited for', async () => {
    const port = await freePort();
    const { send, results } = connectTo(`smtp://127.0.0.1:${port}`);
    const sent = send('late@example.test');
    await eventually(() => expect(results).toContain('retried'));
    const late = await startServer(port);
    await sent;
    expect(late).toEqual(['late@example.test']);
  });

  test('a refusal for good is not retried, and the error does not name the receiver', async () => {
    const port = await freePort();
    await startServer(port, true);
    const { send, results } = connectTo(`smtp://127.0.0.1:${port}`);
    const error = await send('nobody@example.test').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MailFailed);
    expect(String((error as Error).message)).toBe('mail not sent: refused (attempt 1, SMTP 550)');
    expect(JSON.stringify(error)).not.toContain('nobody');
    expect(results).toEqual(['failed']);
  });

  test('a server that takes nothing from us is tried again, for it refuses no single mail', async () => {
    let refusals = 2;
    const server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS', 'AUTH'],
      logger: false,
      closeTimeout: CLOSE_TIMEOUT_MS,
      onMailFrom: (_address, _session, callback) => {
        refusals -= 1;
        callback(refusals < 0 ? null : Object.assign(new Error('sender not allowed'), { responseCode: 553 }));
      },
      onData: (stream, _session, callback) => void stream.resume().on('end', () => callback()),
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    onTestFinished(() => new Promise<void>((resolve) => server.close(resolve)));
    const url = `smtp://127.0.0.1:${port}`;
    const { send, results } = connectTo(url);
    await send('ada@example.test');
    expect(results).toEqual(['retried', 'retried', 'sent']);
    refusals = Number.POSITIVE_INFINITY;
    // The next attempt would come too late.
    const { send: sendOnce } = connectTo(url, { retryBaseMs: 3 * PATIENT_MS, retryMaxMs: 3 * PATIENT_MS });
    await expect(sendOnce('ada@example.test')).rejects.toMatchObject({ reason: 'denied' });
  });

  test('it gives up in time', async () => {
    const smtp = createSmtp({
      url: `smtp://127.0.0.1:${await freePort()}`,
      from: 'a@b.test',
      tlsRequired: false,
    });
    const options = { pendingMax: 1, attemptTimeoutMs: 100, retryBaseMs: 20, retryMaxMs: 20, onResult() {} };
    const { deliver } = createDelivery({ send: smtp.send, ...options });
    await expect(deliver({ to: 'a@b.test', ...MAIL }, 100)).rejects.toThrow('unreachable');
  });

  test('more than fit are refused at once', async () => {
    const release = inbox.hold();
    const { send, pending, results } = connectTo(inbox.url, { pendingMax: 2 });
    const held = [send('one@example.test'), send('two@example.test')];
    await expect(send('three@example.test')).rejects.toThrow('queue-full');
    expect(pending()).toBe(2);
    release();
    await Promise.all(held);
    expect(results).toEqual(['refused', 'sent', 'sent']);
  });

  test('closing waits for what is under way', async () => {
    const release = inbox.hold();
    const { send, close } = connectTo(inbox.url);
    const sent = send('drain@example.test');
    await eventually(() => expect(inbox.held()).toBe(1));
    const closed = close(PATIENT_MS);
    release();
    await Promise.all([sent, closed]);
    expect(inbox.to('drain@example.test', 'notice')).toHaveLength(1);
    await expect(send('after@example.test')).rejects.toThrow('closed');
  });

  test('closing does not wait for longer than it may', async () => {
    const release = inbox.hold();
    onTestFinished(release);
    const { send, close } = connectTo(inbox.url);
    const sent = send('stuck@example.test');
    const refused = expect(sent).rejects.toThrow('unreachable');
    await eventually(() => expect(inbox.held()).toBe(1));
    await close(50);
    await refused;
  });

  test('a server without TLS gets nothing when TLS is required', async () => {
    const smtp = createSmtp({ url: inbox.url, from: 'a@b.test', tlsRequired: true });
    onTestFinished(() => smtp.close());
    const mail = { to: 'clear@example.test', ...MAIL };
    await expect(smtp.send(mail, AbortSignal.timeout(5_000))).rejects.toThrow();
    expect(inbox.to('clear@example.test', 'notice')).toEqual([]);
  });
});

describe('injection', async () => {
  const inbox = await startInbox();

  test.each([
    'a@example.test\r\nBcc: b@example.test',
    'a@example.test, b@example.test',
    'a@example.test>\r\nRCPT TO:<b@example.test',
    'Ada <a@example.test>',
    'a b@example.test',
    '',
  ])('%j is not a receiver', async (to) => {
    const { send, results } = connectTo(inbox.url);
    await expect(send(to)).rejects.toThrow('refused');
    expect(results).toEqual(['failed']);
    expect(inbox.mails).toEqual([]);
  });

  test('line ends in a subject add no header', async () => {
    const { send } = connectTo(inbox.url);
    await send('subject@example.test', { ...MAIL, subject: 'x\r\nBcc: b@example.test\r\n\r\nbody' });
    const mail = await inbox.mail('subject@example.test', 'notice');
    expect(mail.subject).toContain('Bcc: b@example.test');
    expect(inbox.to('b@example.test', 'notice')).toEqual([]);
  });

  test('the name of the service is escaped in HTML', () => {
    const wording = { serviceName: 'A&B <x>', link: 'https://a.test/#token=t', ttlMs: 1 };
    expect(verificationMail(wording).html).toContain(escapeHtml('A&B <x>'));
    expect(verificationMail(wording).html).not.toContain('<x>');
  });
});

describe('the plugin', async () => {
  const inbox = await startInbox();

  test('links carry the token in the fragment of APP_URL', async () => {
    const app = await startMailer({ SMTP_URL: inbox.url, APP_URL: 'https://app.example.test/x/' });
    const ada = { email: 'link@example.test' };
    await Promise.all([
      app.mailer.sendVerification(ada, 'v.token_1'),
      app.mailer.sendReset(ada, 'r.token_1'),
      app.mailer.sendPasswordChanged(ada),
    ]);
    const links = (['verify-email', 'reset-password'] as const).map(
      (kind) => inbox.to(ada.email, kind)[0]?.link?.href,
    );
    expect(links).toEqual([
      'https://app.example.test/x/verify-email#token=v.token_1',
      'https://app.example.test/x/reset-password#token=r.token_1',
    ]);
    expect(inbox.to(ada.email, 'notice')).toHaveLength(1);
    expect(app.inbox).toBeNull();
    expect(await app.metrics.registry.metrics()).toContain('mails_total{result="sent"} 3');
  });

  test('what goes on after its reply may still mail while the service closes, and nobody once it has', async () => {
    const app = await startMailer({ SMTP_URL: inbox.url });
    const ada = { email: 'late@example.test' };
    const { promise: counted, resolve } = Promise.withResolvers<void>();
    app.background.run('mail password-changed', async () => {
      await counted;
      await app.mailer.sendPasswordChanged(ada);
    });
    const closing = app.close();
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    resolve();
    await closing;
    expect(inbox.to(ada.email, 'notice')).toHaveLength(1);
    await expect(app.mailer.sendPasswordChanged(ada)).rejects.toMatchObject({ reason: 'closed' });
  });

  test('without SMTP_URL mails stay here', async () => {
    const app = await startMailer({});
    await app.mailer.sendReset({ email: 'Ada@example.test' }, 'token');
    expect(app.inbox?.list('ada@EXAMPLE.test')).toHaveLength(1);
    expect(app.inbox?.list('bob@example.test')).toEqual([]);
  });
});
