/**
 * A reverse proxy as small as one can be: in turns to every instance that says it is ready, and never a second try. What
 * an instance does not answer is answered 502.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { probe } from '../torture/system/instances.ts';

export interface Backend {
  readonly name: string;
  readonly url: string;
}

export interface Balancer {
  readonly url: string;
  /** Whether requests are sent to it, by name. */
  isIn(name: string): boolean;
  close(): Promise<void>;
}

export interface BalancerOptions {
  readonly backends: readonly Backend[];
  /** Between two looks at `/readyz`. An instance that stops must wait for longer than this before it closes. */
  readonly everyMs: number;
}

const PROBE_TIMEOUT_MS = 10_000;
/** Of one connection: RFC 9110, section 7.6.1. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer'];

/** Resolves once every backend has been looked at. */
export async function startBalancer({ backends, everyMs }: BalancerOptions): Promise<Balancer> {
  const agent = new Agent({ keepAlive: true });
  const ready = new Set<string>();
  let turn = 0;
  let closed = false;

  async function look({ name, url }: Backend): Promise<void> {
    const status = await probe(url, '/readyz', PROBE_TIMEOUT_MS);
    if (status === 200) ready.add(name);
    else ready.delete(name);
  }

  async function watch(backend: Backend): Promise<void> {
    while (!closed) {
      await look(backend);
      await new Promise((resolve) => setTimeout(resolve, everyMs).unref());
    }
  }

  function next(): Backend | undefined {
    const able = backends.filter(({ name }) => ready.has(name));
    turn += 1;
    return able[turn % able.length];
  }

  const server = createServer((incoming, outgoing) => {
    const backend = next();
    if (backend === undefined) return refuse(outgoing, 503, 'no_instance');
    forward(agent, backend, incoming, outgoing);
  });
  // It never closes a connection that a client may be about to use.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await Promise.all(backends.map(look));
  for (const backend of backends) void watch(backend);
  return {
    url: `http://127.0.0.1:${port}`,
    isIn: (name) => ready.has(name),
    async close() {
      closed = true;
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function forward(agent: Agent, { url }: Backend, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method = 'GET', url: path = '/' } = incoming;
  const onward = request(
    `${url}${path}`,
    { method, agent, headers: endToEnd(incoming.headers) },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
      answer.on('error', () => outgoing.destroy());
      answer.pipe(outgoing);
    },
  );
  onward.on('error', () => {
    if (outgoing.headersSent) outgoing.destroy();
    else refuse(outgoing, 502, 'no_answer');
  });
  incoming.pipe(onward);
}

function endToEnd<H extends object>(headers: H): H {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name))) as H;
}

function refuse(outgoing: ServerResponse, status: number, code: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/problem+json' });
  outgoing.end(JSON.stringify({ status, code }));
}
