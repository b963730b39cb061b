/** SecantusDB speaks MongoDB's wire protocol; it is installed from PyPI into a virtual environment of its own. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { logTail } from './folders.ts';
import { findOnPath, sameAccount } from './privileges.ts';
import type { Supervisor } from './supervise.ts';

const SECANTUS_VERSION = '0.7.0b3';

/** How long another run's installation is waited for, and ours may take. */
const INSTALL_TIMEOUT_MS = 10 * 60_000;
const PROGRESS_EVERY_MS = 5_000;

export interface ToolContext {
  /** Kept between runs, shared by all of them. */
  readonly toolsDir: string;
  readonly supervisor: Supervisor;
  readonly log: (line: string) => void;
}

/** Installs the daemon unless it is there; returns the command that starts it. */
export async function secantusCommand(context: ToolContext): Promise<readonly [string, string]> {
  const venv = join(context.toolsDir, `secantusdb-${SECANTUS_VERSION}`);
  const python = join(venv, 'bin', 'python');
  const ready = (): boolean => existsSync(join(venv, 'complete')) && existsSync(python);
  if (!ready()) {
    mkdirSync(context.toolsDir, { recursive: true });
    await whileLocked(context, join(context.toolsDir, 'secantusdb.lock'), async () => {
      if (!ready()) await install(context, venv, python);
    });
  }
  return [python, join(venv, 'bin', 'secantusd-py')];
}

async function install(context: ToolContext, venv: string, python: string): Promise<void> {
  const systemPython = findOnPath('python3');
  if (systemPython === null) {
    throw new Error('no MongoDB: install mongod, or python3 for SecantusDB, or set MONGO_URL');
  }
  context.log(
    `installing SecantusDB ${SECANTUS_VERSION} from PyPI (once; MongoDB-wire compatible, not MongoDB)`,
  );
  rmSync(venv, { recursive: true, force: true });
  await step(context, 'python3 -m venv', [systemPython, '-m', 'venv', venv]);
  const wanted = `SecantusDB==${SECANTUS_VERSION}`;
  await step(context, `pip install ${wanted}`, [
    ...[
      python,
      '-m',
      'pip',
      'install',
      '--no-input',
      '--disable-pip-version-check',
      '--progress-bar=off',
      wanted,
    ],
  ]);
  writeFileSync(join(venv, 'complete'), '');
  context.log(`SecantusDB ${SECANTUS_VERSION} is installed`);
}

async function step(context: ToolContext, name: string, command: readonly string[]): Promise<void> {
  const [program = '', ...args] = command;
  const logFile = join(context.toolsDir, 'secantusdb-install.log');
  const startedAt = Date.now();
  const seconds = (): number => Math.round((Date.now() - startedAt) / 1000);
  const child = await context.supervisor.start({
    ...sameAccount.launch(program, args, 'TERM'),
    cwd: context.toolsDir,
    env: inheritedEnv(),
    logFile,
    stopSignals: ['SIGTERM'],
    stopTimeoutMs: 5_000,
  });
  const progress = setInterval(
    () => context.log(`  ${name}: ${seconds()} s … ${logTail(logFile, 1)}`),
    PROGRESS_EVERY_MS,
  );
  const limit = setTimeout(() => void child.stop(), INSTALL_TIMEOUT_MS);
  const { code } = await child.exited;
  clearInterval(progress);
  clearTimeout(limit);
  if (code !== 0) throw new Error(`${name} failed after ${seconds()} s:\n${logTail(logFile)}`);
  context.log(`  ${name}: done in ${seconds()} s`);
}

/** pip is configured by the environment (index, proxy, certificates). */
function inheritedEnv(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return Object.fromEntries(entries);
}

/** Two runs that start at once must not both build the environment. */
async function whileLocked(context: ToolContext, path: string, work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + INSTALL_TIMEOUT_MS;
  let told = false;
  while (!(await context.supervisor.lock(path))) {
    if (!told) context.log('another run is installing SecantusDB, waiting for it');
    told = true;
    if (Date.now() > deadline) throw new Error(`${path} is still held by another run`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  try {
    await work();
  } finally {
    context.supervisor.unlock(path);
  }
}
