/** `npm run demo`: the move from MongoDB to PostgreSQL, live in the terminal. See `--help`. */
import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openServers, openSystem } from '../torture/system/system.ts';
import { type DemoOptions, HELP, readOptions } from './options.ts';
import { describeResult } from './report.ts';
import { createScreen } from './screen.ts';
import { type Result, SHUTDOWN_DELAY_MS, tell } from './story.ts';

type Closer = () => Promise<void> | void;

/** Everything that is written goes below that folder, and goes with it. */
async function demo(
  folder: string,
  options: DemoOptions,
  onClose: (closer: Closer) => void,
): Promise<Result> {
  const screen = createScreen(options.json ? process.stderr : process.stdout);
  onClose(screen.done);
  screen.say('starting PostgreSQL, MongoDB and three instances of the service');
  const starting = openServers(folder);
  // Interrupted in the middle of it, it has to be open before it can be closed.
  onClose(async () => (await starting.catch(() => null))?.close());
  const opening = openSystem({
    servers: await starting,
    instances: 3,
    firstMode: 'mongo-only',
    env: { SHUTDOWN_DELAY: `${SHUTDOWN_DELAY_MS}ms`, STORE_TIMEOUT: '10s' },
  });
  onClose(async () => (await opening.catch(() => null))?.close(false));
  const system = await opening;
  const { mongo, postgres } = system.stores;
  screen.say(`${postgres.product} and ${mongo.product} are up`);
  const result = await tell(system, options, screen, onClose);
  screen.done();
  return result;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const folder = openFolder();
  const closers: Closer[] = [() => rm(folder, { recursive: true, force: true, maxRetries: 5 })];
  let closing: Promise<void> | null = null;
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<null>();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      // The second time nobody waits for anything any more.
      if (closing !== null) process.exit(130);
      interrupt(null);
    });
  }
  try {
    const result = await Promise.race([
      demo(folder, options, (closer) => void closers.push(closer)),
      interrupted,
    ]);
    if (result === null) {
      closing = closeAll();
      await closing;
      process.stderr.write('interrupted: everything is stopped, nothing is left behind\n');
      return 130;
    }
    console.log(options.json ? JSON.stringify(result) : describeResult(result));
    return result.holds ? 0 : 1;
  } finally {
    closing ??= closeAll();
    await closing;
  }
}

/** Everything that is written goes below one folder, and goes with it. */
function openFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-demo-'));
  // PostgreSQL may run as another user than this process.
  chmodSync(folder, 0o711);
  process.env['TMPDIR'] = folder;
  return folder;
}

try {
  process.exit(await main());
} catch (error) {
  const { code, message, stack } = error as NodeJS.ErrnoException;
  const usage = error instanceof RangeError || code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(usage ? `${message}\n\n${HELP}\n` : `${stack}\n`);
  process.exit(usage ? 2 : 1);
}
