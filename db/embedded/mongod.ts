/** Finds a real `mongod`: on PATH, downloaded earlier, or downloaded now where that is possible. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { logTail } from './folders.ts';
import { findOnPath, sameAccount } from './privileges.ts';
import type { ToolContext } from './secantus.ts';

/** Without any sign of the download starting it is given up. */
const FIRST_BYTE_TIMEOUT_MS = 8_000;
/** Without any progress since. */
const STALL_TIMEOUT_MS = 20_000;
/** A refused download is not tried again until then. */
const RETRY_AFTER_MS = 6 * 3_600_000;

/** Path of a mongod, or null when none can be had; says why in a line. */
export async function findMongod(context: ToolContext): Promise<string | null> {
  const installed = findOnPath('mongod');
  if (installed !== null) return installed;
  const { toolsDir, log } = context;
  const found = join(toolsDir, 'mongod-path');
  const known = existsSync(found) ? readFileSync(found, 'utf8') : '';
  if (known !== '' && existsSync(known)) return known;
  if (process.env['MONGOMS_RUNTIME_DOWNLOAD'] === 'false') {
    log('no mongod on PATH, and MONGOMS_RUNTIME_DOWNLOAD=false forbids to download one');
    return null;
  }
  const refused = join(toolsDir, 'mongod-download-refused');
  if (existsSync(refused) && Date.now() - statSync(refused).mtimeMs < RETRY_AFTER_MS) {
    log(`no mongod on PATH, and its download failed not long ago (delete ${refused} to try again)`);
    return null;
  }
  mkdirSync(toolsDir, { recursive: true });
  log('no mongod on PATH: downloading one (mongodb-memory-server)');
  const path = await download(context);
  if (path === null) {
    writeFileSync(refused, '');
    return null;
  }
  rmSync(refused, { force: true });
  writeFileSync(found, path);
  log(`downloaded ${path}`);
  return path;
}

async function download({ toolsDir, supervisor, log }: ToolContext): Promise<string | null> {
  const logFile = join(toolsDir, 'mongod-download.log');
  rmSync(logFile, { force: true });
  const script = fileURLToPath(new URL('./download-mongod.ts', import.meta.url));
  const env = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const child = await supervisor.start({
    ...sameAccount.launch(process.execPath, [script], 'TERM'),
    cwd: toolsDir,
    env: { MONGOMS_DOWNLOAD_DIR: join(toolsDir, 'mongod'), ...Object.fromEntries(env) },
    logFile,
    stopSignals: ['SIGTERM'],
    stopTimeoutMs: 2_000,
  });
  let seen = '';
  let patienceEndsAt = Date.now() + FIRST_BYTE_TIMEOUT_MS;
  let gaveUp = false;
  const watch = setInterval(() => {
    const last = logTail(logFile, 1).split('\r').at(-1)?.trim() ?? '';
    if (last !== seen && last.includes('%')) {
      seen = last;
      patienceEndsAt = Date.now() + STALL_TIMEOUT_MS;
      log(`  ${last}`);
    }
    if (Date.now() < patienceEndsAt || gaveUp) return;
    gaveUp = true;
    void child.stop();
  }, 1_000);
  const { code } = await child.exited;
  clearInterval(watch);
  const result = /^mongod: (.+)$/m.exec(logTail(logFile, 1_000))?.[1];
  if (code === 0 && result !== undefined) return result;
  const reason = gaveUp ? 'no answer' : (/^failed: (.+)$/m.exec(logTail(logFile, 1_000))?.[1] ?? 'it failed');
  log(`mongod cannot be downloaded here (${reason.slice(0, 160)})`);
  return null;
}
