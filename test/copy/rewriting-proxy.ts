/** Stands before a MongoDB server and changes bytes of what it answers, so that a client reads what the server would not store. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

export interface Rewrite {
  readonly from: Uint8Array;
  /** As long as `from`, so that no length changes. */
  readonly to: Uint8Array;
}

export interface RewritingProxy {
  /** The server's URL, through the proxy. */
  readonly url: string;
  close(): Promise<void>;
}

export async function openRewritingProxy(
  target: string,
  rewrites: readonly Rewrite[],
): Promise<RewritingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = createConnection({ host: hostname, port: Number(port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
        sockets.delete(socket);
      });
    }
    client.pipe(upstream);
    let held: Buffer = Buffer.alloc(0);
    upstream.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      // Whole messages only: a chunk may end in the middle of what is looked for.
      while (held.length >= 4 && held.length >= held.readInt32LE(0)) {
        const message = held.subarray(0, held.readInt32LE(0));
        held = held.subarray(message.length);
        for (const { from, to } of rewrites) {
          for (let at = message.indexOf(from); at >= 0; at = message.indexOf(from, at + from.length)) {
            message.set(to, at);
          }
        }
        client.write(Buffer.from(message));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(target);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  url.searchParams.set('directConnection', 'true');
  return {
    url: url.href,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
