/** A mail server that keeps nothing but the tokens: parsing whole mails would take the services' time. */
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

export type MailKind = 'verify-email' | 'reset-password';

export interface TokenInbox {
  /** For `SMTP_URL`. */
  readonly url: string;
  /** The tokens mailed to this address so far, oldest first, each once however often it was mailed. */
  tokens(address: string, kind: MailKind): readonly string[];
  close(): Promise<void>;
}

const LINK = /\/(verify-email|reset-password)#token=([\w.~%-]+)/g;

export async function startTokenInbox(): Promise<TokenInbox> {
  const tokens = new Map<string, Set<string>>();
  const keep = (address: string, raw: string): void => {
    // Quoted-printable breaks long lines and spells `=` out.
    for (const [, kind, token] of raw
      .replaceAll(/=\r?\n/g, '')
      .replaceAll('=3D', '=')
      .matchAll(LINK)) {
      const key = `${kind} ${address.toLowerCase()}`;
      tokens.set(key, (tokens.get(key) ?? new Set()).add(decodeURIComponent(token ?? '')));
    }
  };
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 200,
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', callback);
      stream.on('end', () => {
        const raw = Buffer.concat(chunks).toString('latin1');
        for (const { address } of session.envelope.rcptTo) keep(address, raw);
        callback();
      });
    },
  });
  // A service that is killed in mid-delivery resets its connection: nothing for this server to fail on.
  server.on('error', () => {});
  const { server: listener } = server;
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = listener.address() as AddressInfo;
  return {
    url: `smtp://127.0.0.1:${port}`,
    tokens: (address, kind) => [...(tokens.get(`${kind} ${address.toLowerCase()}`) ?? [])],
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
