/** Stands between a client and a server, and hands on each whole message of the server as it is to be changed. */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

export interface Messages {
  /** Bytes of the message that `held` begins with; null: too little of it has come. */
  lengthOf(held: Buffer): number | null;
  change(message: Buffer): Buffer;
}

export interface MessageProxy {
  /** On 127.0.0.1. */
  readonly port: number;
  close(): Promise<void>;
}

/** `target`: a URL of the server. */
export async function openMessageProxy(
  target: string,
  { lengthOf, change }: Messages,
): Promise<MessageProxy> {
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
    // What was written to the client before still reaches it.
    upstream.on('close', () => client.end());
    let held: Buffer = Buffer.alloc(0);
    upstream.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      for (;;) {
        const length = lengthOf(held);
        if (length === null || held.length < length) break;
        client.write(change(Buffer.from(held.subarray(0, length))));
        held = held.subarray(length);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
