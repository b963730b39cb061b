/** Stands before a PostgreSQL server and says its severities in Russian, as one does whose `lc_messages` is `ru_RU.UTF-8`. */
import { openMessageProxy } from '../support/message-proxy.ts';

const WORDS: Readonly<Record<string, string>> = { ERROR: 'ОШИБКА', FATAL: 'ВАЖНО', PANIC: 'ПАНИКА' };
const ERROR_RESPONSE = 'E'.charCodeAt(0);
/** A byte for its kind, four for the length of what follows, themselves included. */
const HEAD = 5;

export interface TranslatingProxy {
  /** The same URL, through this proxy. */
  through(url: string): string;
  close(): Promise<void>;
}

export async function openTranslatingProxy(target: string): Promise<TranslatingProxy> {
  const { port, close } = await openMessageProxy(target, {
    lengthOf: (held) => (held.length < HEAD ? null : held.readInt32BE(1) + 1),
    change: (message) => (message[0] === ERROR_RESPONSE ? translated(message) : message),
  });
  return {
    through(url) {
      const own = new URL(url);
      own.host = `127.0.0.1:${port}`;
      return own.href;
    },
    close,
  };
}

/** The field S is for people, and comes first; V says the same for programs, in English. */
function translated(message: Buffer): Buffer {
  const fields = message
    .toString('utf8', HEAD)
    .replace(/^S(\w+)/, (_, word: string) => `S${WORDS[word] ?? word}`);
  const body = Buffer.from(fields);
  const head = Buffer.from(message.subarray(0, HEAD));
  head.writeInt32BE(body.length + HEAD - 1, 1);
  return Buffer.concat([head, body]);
}
