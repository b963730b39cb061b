/** A real SMTP server in this process: what the service mails, and how it copes with a mail server that doesn't. */
import type { AddressInfo } from 'node:net';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';
import { afterAll } from 'vitest';
import { eventually } from './wait.ts';

export type MailKind = 'verify-email' | 'reset-password' | 'notice';

export interface Mail {
  readonly to: string;
  readonly from: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  readonly kind: MailKind;
  /** The mailed link; null for a notice. */
  readonly link: URL | null;
  /** The token in the link; null for a notice. */
  readonly token: string | null;
}

export interface Inbox {
  /** For `SMTP_URL`. */
  readonly url: string;
  readonly mails: readonly Mail[];
  /** All mails of this kind to this address so far. */
  to(address: string, kind: MailKind): readonly Mail[];
  /** Waits for the `nth` mail of this kind to this address, counting from 1. */
  mail(address: string, kind: MailKind, nth?: number): Promise<Mail>;
  /** Waits for that mail and gives its token. */
  token(address: string, kind: 'verify-email' | 'reset-password', nth?: number): Promise<string>;
  /** Answers the next so many mails with a temporary failure. */
  fail(times: number): void;
  /** Answers every mail to this address with a permanent failure. */
  refuse(address: string): void;
  /** Answers every mail to this address with a temporary failure. */
  putOff(address: string): void;
  /** How many mails were refused by `fail`, `refuse` or `putOff` so far. */
  readonly failed: () => number;
  /** Keeps every mail waiting for its acknowledgement until the returned function is called. */
  hold(): () => void;
  /** Deliveries that wait behind `hold`. */
  readonly held: () => number;
}

const LINK = /https?:\/\/\S*\/(verify-email|reset-password)[#?](?:token=)?([\w.~%-]+)/;

function toMail(parsed: ParsedMail, to: string): Mail {
  const text = parsed.text ?? '';
  const [link, kind, token] = LINK.exec(text) ?? [];
  return {
    to,
    from: parsed.from?.text ?? '',
    subject: parsed.subject ?? '',
    text,
    html: parsed.html || '',
    kind: (kind as MailKind | undefined) ?? 'notice',
    link: link === undefined ? null : new URL(link),
    token: token === undefined ? null : decodeURIComponent(token),
  };
}

/** Starts it on a free port; stopped after the file. */
export async function startInbox(): Promise<Inbox> {
  const mails: Mail[] = [];
  const waiting = new Set<() => void>();
  let holding = false;
  let toFail = 0;
  let failed = 0;
  const unknown = new Set<string>();
  const putOff = new Set<string>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 200,
    onRcptTo({ address }, _session, callback) {
      if (unknown.has(address)) {
        failed += 1;
        return callback(Object.assign(new Error(`<${address}>: no such user`), { responseCode: 550 }));
      }
      if (toFail === 0 && !putOff.has(address)) return callback();
      toFail = Math.max(0, toFail - 1);
      failed += 1;
      // Real servers repeat the address too.
      return callback(Object.assign(new Error(`<${address}>: try again`), { responseCode: 451 }));
    },
    onData(stream, session, callback) {
      simpleParser(stream).then((parsed) => {
        const accept = (): void => {
          for (const { address } of session.envelope.rcptTo) mails.push(toMail(parsed, address));
          callback();
        };
        if (holding) waiting.add(accept);
        else accept();
      }, callback);
    },
  });
  // A client that is killed in mid-delivery resets its connection: nothing for this server to fail on.
  server.on('error', () => {});
  const port = await listen(server);
  afterAll(() => new Promise<void>((resolve) => server.close(resolve)));

  const to: Inbox['to'] = (address, kind) =>
    mails.filter((mail) => mail.to === address && mail.kind === kind);
  const mail: Inbox['mail'] = (address, kind, nth = 1) =>
    eventually(() => {
      const found = to(address, kind)[nth - 1];
      if (found === undefined) throw new Error(`no ${kind} mail number ${nth} came to ${address}`);
      return found;
    });
  return {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    to,
    mail,
    async token(address, kind, nth) {
      const { token } = await mail(address, kind, nth);
      if (token === null) throw new Error(`the ${kind} mail to ${address} holds no token`);
      return token;
    },
    fail(times) {
      toFail = times;
    },
    refuse(address) {
      unknown.add(address);
    },
    putOff(address) {
      putOff.add(address);
    },
    failed: () => failed,
    hold() {
      holding = true;
      return () => {
        holding = false;
        for (const accept of waiting) accept();
        waiting.clear();
      };
    },
    held: () => waiting.size,
  };
}

function listen(server: SMTPServer): Promise<number> {
  return new Promise((resolve, reject) => {
    const { server: tcp } = server;
    tcp.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((tcp.address() as AddressInfo).port));
  });
}
