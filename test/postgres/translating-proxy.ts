/** Stands before a PostgreSQL server and says its severities in Russian, as one does whose `lc_messages` is `ru_RU.UTF-8`. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

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
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = createConnection({ host: hostname, port: Number(port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream);
    client.on('close', () => upstream.destroy());
    upstream.on('end', () => client.end());
    let held: Buffer = Buffer.alloc(0);
    upstream.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= HEAD && held.length > held.readInt32BE(1)) {
        const message = held.subarray(0, held.readInt32BE(1) + 1);
        held = held.subarray(message.length);
        client.write(message[0] === ERROR_RESPONSE ? translated(message) : message);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    through(url) {
      const own = new URL(url);
      own.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      return own.href;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
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
