/**
 * A reverse proxy in front of the instances, as plain as can be: in turn to those that say they are ready, each request
 * once. It retries nothing: what goes wrong behind it goes wrong for the client.
 */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as forward,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { probe } from './instances.ts';

export interface Balancer {
  readonly url: string;
  /** Names of those that get requests now. */
  serving(): readonly string[];
  /** Whether it gets requests now, or has not answered one yet. */
  isInUse(name: string): boolean;
  /** Requests that were sent on to each. */
  readonly sent: ReadonlyMap<string, number>;
  /** Why requests were answered 502. */
  readonly problems: readonly string[];
  close(): Promise<void>;
}

interface Backend {
  readonly name: string;
  readonly url: string;
  agent: Agent;
  inFlight: number;
  ready: boolean;
}

const CHECK_EVERY_MS = 100;
/** A slow answer to a check is no reason to drop anybody; a refusal, or "not ready", is. */
const CHECK_TIMEOUT_MS = 10_000;

export async function startBalancer(
  places: readonly { readonly name: string; readonly url: string }[],
): Promise<Balancer> {
  const backends = places.map(
    ({ name, url }): Backend => ({ name, url, agent: newAgent(), inFlight: 0, ready: false }),
  );
  const sent = new Map<string, number>(places.map(({ name }) => [name, 0]));
  const problems: string[] = [];
  let turn = 0;
  let closed = false;

  function next(): Backend | undefined {
    const ready = backends.filter((backend) => backend.ready);
    turn += 1;
    return ready[turn % ready.length];
  }

  function handle(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const backend = next();
    if (backend === undefined) {
      problems.push('no instance is ready');
      outgoing.writeHead(502).end();
      return;
    }
    sent.set(backend.name, (sent.get(backend.name) ?? 0) + 1);
    backend.inFlight += 1;
    const { method, url, headers } = incoming;
    const request = forward(`${backend.url}${url}`, { method, headers, agent: backend.agent }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      problems.push(`${backend.name}: ${error.code ?? error.message}`);
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(502).end();
    });
    outgoing.on('close', () => {
      backend.inFlight -= 1;
    });
    incoming.pipe(request);
  }

  async function check(backend: Backend): Promise<void> {
    while (!closed) {
      const ready = (await probe(backend.url, '/readyz', CHECK_TIMEOUT_MS)) === 200;
      // Connections to a process that goes away are not to be met again by its successor.
      if (backend.ready && !ready) {
        const { agent } = backend;
        backend.agent = newAgent();
        void idle(backend).then(() => agent.destroy());
      }
      backend.ready = ready;
      await sleep(CHECK_EVERY_MS);
    }
  }

  async function idle(backend: Backend): Promise<void> {
    while (backend.inFlight > 0 && !closed) await sleep(10);
  }

  const server = createServer({ keepAliveTimeout: 60_000 }, handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const checks = backends.map(check);
  while (!backends.every(({ ready }) => ready)) await sleep(10);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    serving: () => backends.filter(({ ready }) => ready).map(({ name }) => name),
    isInUse: (name) =>
      backends.some((backend) => backend.name === name && (backend.ready || backend.inFlight > 0)),
    sent,
    problems,
    async close() {
      closed = true;
      server.closeAllConnections();
      server.close();
      await Promise.all(checks);
      for (const { agent } of backends) agent.destroy();
    },
  };
}

const newAgent = (): Agent => new Agent({ keepAlive: true, maxSockets: 256 });
