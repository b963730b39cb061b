import { freePort, isFree } from '../../db/embedded/ports.ts';

const USUAL_PORT = 3000;

/** Nobody can listen on the port; the message says what to do. */
export class PortTaken extends Error {
  override readonly name = 'PortTaken';
  constructor(port: number) {
    super(
      `port ${port} is in use: stop what listens there, or choose another one, such as PORT=${port + 1} npm run dev`,
    );
  }
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
  if (!Number.isInteger(port) || port < 0 || port > 65_535 || (await isFree(port, host))) return port;
  if (wanted === undefined && ephemeral) return freePort();
  throw new PortTaken(port);
}
