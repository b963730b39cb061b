/** A TCP proxy with faults: what a bad network, or a server that dies between its commit and its reply, looks like. */
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSqlReader, isStatement } from './wire.ts';

/** `sql`: the text of the prepared statement that it runs, in PostgreSQL's protocol. */
export type Matcher = (sent: Buffer, sql: string | null) => boolean;

export interface LagProxyOptions {
  readonly targetPort: number;
  /** Without it a free one. */
  readonly port?: number;
}

export interface LagStats {
  /** Open now. */
  readonly connections: number;
  readonly accepted: number;
  /** Turned away while cut. */
  readonly refused: number;
  readonly bytesToServer: number;
  readonly bytesToClient: number;
  /** Statements that reached the server, and whose reply was thrown away. */
  readonly repliesLost: number;
  /** Bytes held back now. */
  readonly heldBytes: number;
}

export interface LagProxy {
  readonly port: number;
  /** The same URL, through this proxy; a MongoDB driver is kept from going round it to the members it learns of. */
  through(url: string): string;
  /** Everything in both directions arrives so much later, in order; 0 ends it. Milliseconds. */
  delay(ms: number): void;
  /** Resets all connections; new ones are reset as soon as they are made, until `heal`. */
  cut(): void;
  /** Keeps connections open and accepts new ones, but holds all they send until `heal`, also when a side gives up. */
  freeze(): void;
  /** Ends every fault; what was held goes on its way. */
  heal(): void;
  /**
   * The next `count` statements, or those that match, reach the server; once it answers, the answer is dropped and the
   * connection reset.
   */
  loseReplies(count: number, matcher?: Matcher): void;
  /** The same for the next chunk that matches; true once it was lost, false when `heal` or `close` came first. */
  loseNextReplyAfterCommit(matcher: Matcher): Promise<boolean>;
  /**
   * The next chunk that matches is held on its way to the server, with all behind it on its connection, until `heal`; true
   * once it is, false when `heal` or `close` came first.
   */
  holdNext(matcher: Matcher): Promise<boolean>;
  stats(): LagStats;
  close(): Promise<void>;
}

/** More than this on its way from one socket, and the socket is read no further. */
const HELD_MAX = 1 << 20;

interface Awaited {
  readonly matcher: Matcher;
  readonly settle: (came: boolean) => void;
}

/** Listens on loopback. */
export async function createLagProxy({ targetPort, port = 0 }: LagProxyOptions): Promise<LagProxy> {
  const links = new Set<() => void>();
  const counts = {
    accepted: 0,
    refused: 0,
    bytesToServer: 0,
    bytesToClient: 0,
    repliesLost: 0,
    heldBytes: 0,
  };
  let delayMs = 0;
  let isCut = false;
  let gate: PromiseWithResolvers<void> | null = null;
  let losses: Awaited[] = [];
  let holds: Awaited[] = [];
  let held: PromiseWithResolvers<void>[] = [];

  /** One direction of a connection: in order, late, and held while frozen. */
  function flow(
    from: Socket,
    to: Socket,
    counter: 'bytesToServer' | 'bytesToClient',
    intercept: (chunk: Buffer) => boolean | Promise<boolean>,
  ): void {
    let tail = Promise.resolve();
    let waiting = 0;

    function enqueue(bytes: number, deliver: () => void | Promise<void>): void {
      const due = performance.now() + delayMs;
      waiting += bytes;
      counts.heldBytes += bytes;
      if (waiting > HELD_MAX) from.pause();
      tail = tail.then(async () => {
        if (due > performance.now()) await sleep(due - performance.now());
        while (gate !== null) await gate.promise;
        await deliver();
        waiting -= bytes;
        counts.heldBytes -= bytes;
        if (waiting <= HELD_MAX) from.resume();
      });
    }

    from.on('data', (chunk: Buffer) =>
      enqueue(chunk.length, async () => {
        if (to.destroyed || (await intercept(chunk))) return;
        // It may have been held for long.
        if (to.destroyed) return;
        counts[counter] += chunk.length;
        if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => {});
      }),
    );
    from.on('end', () => enqueue(0, () => void to.end()));
    from.on('close', (failed) => enqueue(0, () => void (failed ? to.resetAndDestroy() : to.destroySoon())));
  }

  async function heldUp(chunk: Buffer, sql: string | null): Promise<void> {
    const found = holds.find(({ matcher }) => matcher(chunk, sql));
    if (found === undefined) return;
    holds = holds.filter((hold) => hold !== found);
    const until = Promise.withResolvers<void>();
    held.push(until);
    found.settle(true);
    await until.promise;
  }

  function accept(client: Socket): void {
    counts.accepted += 1;
    const server = dial({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true, noDelay: true });
    const reset = (): void => {
      client.resetAndDestroy();
      server.resetAndDestroy();
    };
    let doom: Awaited | null = null;
    links.add(reset);
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        if (client.destroyed && server.destroyed) links.delete(reset);
      });
    }
    const sqlOf = createSqlReader();
    flow(client, server, 'bytesToServer', async (chunk) => {
      const sql = sqlOf(chunk);
      await heldUp(chunk, sql);
      const found = doom === null ? losses.find(({ matcher }) => matcher(chunk, sql)) : undefined;
      if (found === undefined) return false;
      doom = found;
      losses = losses.filter((loss) => loss !== found);
      return false;
    });
    flow(server, client, 'bytesToClient', () => {
      if (doom === null) return false;
      counts.repliesLost += 1;
      doom.settle(true);
      reset();
      return true;
    });
  }

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (!isCut) return accept(client);
    counts.refused += 1;
    client.on('error', () => {});
    client.resetAndDestroy();
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, '127.0.0.1', resolve);
  });
  const address = listener.address() as AddressInfo;

  function awaiting(list: Awaited[], matcher: Matcher): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    list.push({ matcher, settle: resolve });
    return promise;
  }
  const lose = (matcher: Matcher): Promise<boolean> => awaiting(losses, matcher);

  function resetAll(): void {
    for (const reset of links) reset();
  }

  function heal(): void {
    delayMs = 0;
    isCut = false;
    gate?.resolve();
    gate = null;
    for (const { settle } of [...losses, ...holds]) settle(false);
    losses = [];
    holds = [];
    for (const each of held) each.resolve();
    held = [];
  }

  return {
    port: address.port,
    through(url) {
      const parsed = new URL(url);
      parsed.hostname = '127.0.0.1';
      parsed.port = String(address.port);
      if (!parsed.protocol.startsWith('mongodb')) return parsed.href;
      parsed.searchParams.delete('replicaSet');
      parsed.searchParams.set('directConnection', 'true');
      return parsed.href;
    },
    delay(ms) {
      delayMs = ms;
    },
    cut() {
      isCut = true;
      resetAll();
    },
    freeze() {
      gate ??= Promise.withResolvers<void>();
    },
    heal,
    loseReplies(count, matcher = isStatement) {
      for (let i = 0; i < count; i += 1) void lose(matcher);
    },
    loseNextReplyAfterCommit: lose,
    holdNext: (matcher) => awaiting(holds, matcher),
    stats: () => ({ connections: links.size, ...counts }),
    async close() {
      const closed = once(listener, 'close');
      listener.close();
      heal();
      resetAll();
      await closed;
    },
  };
}
