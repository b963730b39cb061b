/** What stands before the service in production: an address of its own, with or without TLS. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, request, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

export type Scheme = 'http' | 'https';

/** Serves on a free port of this host name until the file ends; returns the origin. */
export async function serve(scheme: Scheme, host: string, listener: RequestListener): Promise<string> {
  const server: Server =
    scheme === 'http' ? createHttpServer(listener) : createHttpsServer(certificate(), listener);
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `${scheme}://${host}:${(server.address() as AddressInfo).port}`;
}

export interface Front {
  readonly origin: string;
  /** From now on requests go to this origin. */
  forwardTo(origin: string): void;
}

/** A reverse proxy whose address is known before the service behind it starts, which needs it for its links. */
export async function startFront(scheme: Scheme): Promise<Front> {
  let target = '';
  const origin = await serve(scheme, '127.0.0.1', (incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const forwarded = request(`${target}${url}`, { ...(method && { method }), headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  return {
    origin,
    forwardTo(next) {
      target = next;
    },
  };
}

let made: { readonly key: string; readonly cert: string } | undefined;

/** Self-signed, made once per file; the browser is told not to mind. */
function certificate(): { readonly key: string; readonly cert: string } {
  if (made !== undefined) return made;
  const folder = mkdtempSync(join(tmpdir(), 'auth-cutover-tls-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  try {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    execFileSync(
      'openssl',
      ['req', '-x509', ...curve, '-days', '1', ...subject, '-keyout', key, '-out', cert],
      {
        stdio: 'pipe',
      },
    );
    made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
    return made;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
