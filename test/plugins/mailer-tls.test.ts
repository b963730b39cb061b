import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { expect, onTestFinished, test } from 'vitest';
import { createSmtp } from '../../plugins/mailer/smtp.ts';
import { makeCertificate } from '../support/certificates.ts';

const mail = { to: 'ada@example.test', subject: 'Hello', text: 'a link', html: '<p>a link</p>' };

/** Sends one mail to a server at `localhost`, whose certificate is for `host`; what arrived there. */
async function send(scheme: 'smtp' | 'smtps', host: string, options: { readonly authorityKnown: boolean }) {
  const { key, cert } = makeCertificate(host);
  const arrived: string[] = [];
  const server = new SMTPServer({
    key,
    cert,
    secure: scheme === 'smtps',
    authOptional: true,
    onMailFrom({ address }, _session, done) {
      arrived.push(address);
      done();
    },
    onData(stream, _session, done) {
      stream.resume().on('end', () => done());
    },
  });
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  const known = options.authorityKnown ? `?tls.ca=${encodeURIComponent(cert)}` : '';
  const smtp = createSmtp({
    url: `${scheme}://localhost:${port}/${known}`,
    from: 'no-reply@example.test',
    tlsRequired: true,
  });
  onTestFinished(() => {
    smtp.close();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  const sent = smtp.send(mail, new AbortController().signal);
  return { sent, arrived };
}

test.each([
  ['smtp', 'of an authority nobody knows', 'localhost', false],
  ['smtps', 'of an authority nobody knows', 'localhost', false],
  ['smtp', 'of another host', 'mail.example.test', true],
  ['smtps', 'of another host', 'mail.example.test', true],
] as const)('%s: a server with a certificate %s gets no mail', async (scheme, _, host, authorityKnown) => {
  const { sent, arrived } = await send(scheme, host, { authorityKnown });
  await expect(sent).rejects.toThrow(/certificate|altnames/i);
  expect(arrived).toEqual([]);
});

test.each(['smtp', 'smtps'] as const)('%s: one with the right certificate gets it', async (scheme) => {
  const { sent, arrived } = await send(scheme, 'localhost', { authorityKnown: true });
  await sent;
  expect(arrived).toEqual(['no-reply@example.test']);
});
