/** Documents that no driver would write, byte by byte: OP_MSG by hand. */
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { type Document, deserialize, serialize } from 'bson';

const OP_MSG = 2013;
const HEADER_BYTES = 16;

/** Inserts the bytes as they are. The server's answer; it may refuse some of them. */
export async function insertBytes(
  url: string,
  collection: string,
  documents: readonly Uint8Array[],
): Promise<Document> {
  const { hostname, port, pathname } = new URL(url);
  const body = serialize({ insert: collection, $db: pathname.slice(1), ordered: false });
  const name = Buffer.from('documents\0');
  const size = Buffer.alloc(4);
  size.writeInt32LE(4 + name.length + documents.reduce((sum, { length }) => sum + length, 0));
  const sections = [Buffer.of(0, 0, 0, 0, 0), body, Buffer.of(1), size, name, ...documents];
  const message = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...sections]);
  message.writeInt32LE(message.length, 0);
  message.writeInt32LE(1, 4);
  message.writeInt32LE(OP_MSG, 12);
  const socket = createConnection({ host: hostname, port: Number(port) });
  try {
    await once(socket, 'connect');
    socket.write(message);
    let answer = Buffer.alloc(0);
    for await (const chunk of socket) {
      answer = Buffer.concat([answer, chunk as Buffer]);
      if (answer.length >= 4 && answer.length >= answer.readInt32LE(0)) break;
    }
    return deserialize(answer.subarray(HEADER_BYTES + 5));
  } finally {
    socket.destroy();
  }
}
