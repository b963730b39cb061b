import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { claimFolder, type Supervisor } from './supervise.ts';

/** The given folder, claimed for this run; without one, a new one that is removed at the run's end. */
export async function openFolder(supervisor: Supervisor, dataDir: string | undefined): Promise<string> {
  if (dataDir === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'auth-cutover-'));
    supervisor.removeAtEnd(folder);
    return folder;
  }
  mkdirSync(dataDir, { recursive: true });
  await claimFolder(supervisor, dataDir);
  return dataDir;
}

/** The end of a log file, for an error message. */
export function logTail(path: string, lines = 8): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}
