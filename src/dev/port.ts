import { createServer } from 'node:net';
import { freePort } from '../../db/embedded/ports.ts';

const USUAL_PORT = 3000;

/** Nobody can listen on the port; the message says what to do. */
export class PortTaken extends Error {
  override readonly name = 'PortTaken';
}

/** The port to listen on, found free a moment ago; looked at first, before databases are started in vain. */
export async function choosePort(options: {
  readonly wanted: string | undefined;
  readonly host: string;
  readonly ephemeral: boolean;
}): Promise<number> {
  const { wanted, host, ephemeral } = options;
  if (wanted === '0') return freePort();
  const port = wanted === undefined ? USUAL_PORT : Number(wanted);
  // Anything that is no port number is left to the configuration's own check.
  if (!Number.isInteger(port) || port < 0 || port > 65_535 || (await isFree(host, port))) return port;
  if (wanted === undefined && ephemeral) return freePort();
  throw new PortTaken(
    `port ${port} is in use: stop what listens there, or choose another one, such as PORT=${port + 1} npm run dev`,
  );
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
