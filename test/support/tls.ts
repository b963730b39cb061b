/** A server that speaks TLS and says nothing: what clients tell it is all that matters. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';
import { type Certificate, makeCertificate } from './certificates.ts';

export interface TlsServer {
  readonly port: number;
  /** The authority that signed its certificate, as a file. */
  readonly authorityFile: string;
  /** Handshakes that a client began. */
  readonly begun: () => number;
  /** What clients said once they had accepted the certificate. */
  readonly told: () => Buffer;
}

/** On 127.0.0.1, until the test has finished. `greets`: asked to begin TLS in clear, as PostgreSQL is. */
export async function startTlsServer(
  certificateFor: string,
  options: { readonly greets: boolean },
): Promise<TlsServer> {
  const certificate = makeCertificate(certificateFor);
  const folder = await mkdtemp(join(tmpdir(), 'tls-'));
  const authorityFile = join(folder, 'ca.pem');
  await writeFile(authorityFile, certificate.cert);
  const told: Buffer[] = [];
  const sockets = new Set<Socket>();
  let begun = 0;
  const secure = (socket: Socket) => {
    begun += 1;
    listen(socket, certificate, (chunk) => told.push(chunk));
  };
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    if (!options.greets) return secure(socket);
    socket.once('data', () => {
      socket.write('S');
      secure(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });
  const { port } = server.address() as AddressInfo;
  return { port, authorityFile, begun: () => begun, told: () => Buffer.concat(told) };
}

function listen(socket: Socket, { key, cert }: Certificate, hear: (chunk: Buffer) => void): void {
  const secured = new TLSSocket(socket, { isServer: true, key, cert });
  secured.on('data', hear);
  secured.on('error', () => {});
}
