/** HTTP/1.1 over one keep-alive connection, as little of it as a load generator needs, so that it costs little itself. */
import { connect, type Socket } from 'node:net';

export interface Reply {
  readonly status: number;
  /** Status line and header lines. */
  readonly head: string;
  readonly body: string;
}

export interface Connection {
  /** One request at a time: `text` is a whole request. */
  send(text: string): Promise<Reply>;
  close(): void;
}

const REPLY_TIMEOUT_MS = 30_000;

/** Opens a connection to a port of the loopback interface. */
export async function openConnection(port: number): Promise<Connection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(opened));
    opened.once('error', reject);
  });
  socket.setEncoding('latin1');
  socket.setTimeout(REPLY_TIMEOUT_MS, () => socket.destroy(new Error('no reply in time')));
  let received = '';
  let settle: { resolve: (reply: Reply) => void; reject: (error: Error) => void } | null = null;
  const fail = (error: Error) => {
    settle?.reject(error);
    settle = null;
  };
  socket.removeAllListeners('error');
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  socket.on('data', (chunk: string) => {
    received = received === '' ? chunk : received + chunk;
    const reply = parseReply(received);
    if (reply === null) return;
    received = '';
    const waiting = settle;
    settle = null;
    waiting?.resolve(reply);
  });
  return {
    send: (text) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(new Error('the connection is closed'));
        settle = { resolve, reject };
        socket.write(text, 'latin1');
      }),
    close: () => socket.destroy(),
  };
}

/** Null while the reply is not complete. */
function parseReply(text: string): Reply | null {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const head = text.slice(0, headEnd);
  const rest = text.slice(headEnd + 4);
  const status = Number(head.slice(9, 12));
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return rest.length < Number(length) ? null : { status, head, body: rest };
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
    return rest.endsWith('0\r\n\r\n') ? { status, head, body: joinChunks(rest) } : null;
  }
  return { status, head, body: '' };
}

function joinChunks(text: string): string {
  let body = '';
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (!(size > 0)) return body;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

/** A whole request as text; the body, if any, is JSON. */
export function requestText(
  method: 'GET' | 'POST',
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: object,
): string {
  const json = body === undefined ? '' : JSON.stringify(body);
  const all = {
    Host: 'auth.bench.example',
    'User-Agent': 'bench',
    Accept: 'application/json',
    ...headers,
    ...(body && { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(json)) }),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${json}`;
}

/** The value of a cookie that the reply sets. */
export function setCookie(reply: Reply, name: string): string {
  const start = reply.head.indexOf(`${name}=`);
  if (start < 0) throw new Error(`the reply (${reply.status}) does not set the cookie ${name}`);
  const valueStart = start + name.length + 1;
  return /^[^;\r\n]*/.exec(reply.head.slice(valueStart, valueStart + 2000))?.[0] ?? '';
}
