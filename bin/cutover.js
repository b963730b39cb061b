#!/usr/bin/env node
/**
 * `cutover`, started by whatever Node there is: runs the program on the packaged Node 24, which takes TypeScript as it
 * is. Standard streams, signals and the exit code are those of the program.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as os } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const USAGE = 2;

/** The binary that the package `node` brings along, wherever it was installed; null when it is not there. */
function packagedNode() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve('node/package.json'));
    const binary = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    accessSync(binary, constants.X_OK);
    return binary;
  } catch {
    return null;
  }
}

const node = packagedNode();
if (node === null) {
  process.stderr.write(
    'cutover: the packaged Node 24 is missing; run `npm ci` in the folder of this package\n',
  );
  process.exit(USAGE);
}

const program = fileURLToPath(new URL('../src/cutover.ts', import.meta.url));
const args = ['--', program, ...process.argv.slice(2)];

// Where this process can become the program there is only one: what is sent to it, SIGKILL and SIGSTOP too, is for the
// program. Does not return.
if (process.platform !== 'win32') process.execve?.(node, [node, ...args]);

// Node before 22.15. By the channel the program notices when this process is killed.
const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });

// A terminal sends Ctrl-C to both processes, a service manager only to this one: the program takes a repeated signal
// that follows at once for the same one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));

child.on('error', (error) => {
  process.stderr.write(
    `cutover: the packaged Node 24 cannot be started (${error.code ?? 'unknown'}); run \`npm ci\`\n`,
  );
  process.exit(USAGE);
});
child.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 128 + os.signals[signal]));
