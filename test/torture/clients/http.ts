/** One request, told apart by what its sender can know afterwards: an answer, certainly nothing, or no way to tell. */
import { Agent, type OutgoingHttpHeaders, request as send } from 'node:http';

export interface Reply {
  readonly kind: 'answer';
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** `unreachable`: no connection came about, so nothing was sent. Any other trouble may have come after the deed. */
export interface NoReply {
  readonly kind: 'unreachable' | 'lost';
  readonly reason: string;
}

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly json?: object | undefined;
  readonly bearer?: string | undefined;
}

export interface HttpClient {
  send(base: string, request: Request): Promise<Reply | NoReply>;
  close(): void;
}

const UNREACHABLE = new Set(['ECONNREFUSED', 'EADDRNOTAVAIL']);

/** Never retries. `timeoutMs` is how long an answer is waited for. */
export function createHttpClient(timeoutMs: number): HttpClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  return {
    send: (base, request) => exchange(agent, base, request, timeoutMs),
    close: () => agent.destroy(),
  };
}

function exchange(agent: Agent, base: string, request: Request, timeoutMs: number): Promise<Reply | NoReply> {
  return new Promise((resolve) => {
    const payload = request.json === undefined ? undefined : JSON.stringify(request.json);
    const headers: OutgoingHttpHeaders = {
      'x-token-transport': 'body',
      ...(request.bearer !== undefined && { authorization: `Bearer ${request.bearer}` }),
      ...(payload !== undefined && {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(payload),
      }),
    };
    const { method, path } = request;
    const outgoing = send(`${base}${path}`, { method, headers, agent }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', lost);
      incoming.on('end', () => {
        clearTimeout(timer);
        resolve({ kind: 'answer', status: incoming.statusCode ?? 0, body: parse(Buffer.concat(chunks)) });
      });
    });
    const lost = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      const reason = error.code ?? error.message;
      resolve({ kind: UNREACHABLE.has(reason) ? 'unreachable' : 'lost', reason });
    };
    const timer = setTimeout(() => outgoing.destroy(new Error('timeout')), timeoutMs);
    outgoing.on('error', lost);
    outgoing.end(payload);
  });
}

function parse(payload: Buffer): Reply['body'] {
  try {
    return JSON.parse(payload.toString()) as Reply['body'];
  } catch {
    return {};
  }
}
