/** What the operating system says about processes: /proc where there is one, `ps` elsewhere. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const hasProc = existsSync('/proc/self/stat');

export interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  readonly groupId: number;
  /** Tells a process from a later one with the same pid. */
  readonly startedAt: string;
}

/** The process, or null when there is none (a zombie counts as none). */
export function readProcess(pid: number): ProcessRow | null {
  if (!hasProc) return listProcesses().find((row) => row.pid === pid) ?? null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return {
      pid,
      parentPid: Number(fields[1]),
      groupId: Number(fields[2]),
      startedAt: fields[19] ?? '',
    };
  } catch {
    return null;
  }
}

/** Whether this very process runs, not a later one that was given its number. */
export function isRunning({ pid, startedAt }: Pick<ProcessRow, 'pid' | 'startedAt'>): boolean {
  return readProcess(pid)?.startedAt === startedAt;
}

/** Every process below this one, parents before children. */
export function descendantsOf(pid: number): readonly number[] {
  const all = listProcesses();
  const found: number[] = [];
  const parents = [pid];
  for (let parent = parents.shift(); parent !== undefined; parent = parents.shift()) {
    for (const row of all) {
      if (row.parentPid !== parent) continue;
      found.push(row.pid);
      parents.push(row.pid);
    }
  }
  return found;
}

/** Sends a signal; false when the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

function listProcesses(): readonly ProcessRow[] {
  if (hasProc) {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readProcess(Number(name)))
      .filter((row) => row !== null);
  }
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,stat=,lstart='], { encoding: 'utf8' });
  return lines
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null && !match[4]?.startsWith('Z'))
    .map((match) => ({
      pid: Number(match?.[1]),
      parentPid: Number(match?.[2]),
      groupId: Number(match?.[3]),
      startedAt: match?.[5] ?? '',
    }));
}
