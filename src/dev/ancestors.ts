/** Whether those who run `npm run dev` are still there. */
import { readlinkSync } from 'node:fs';
import { readProcess } from '../../db/embedded/processes.ts';

const CHECK_EVERY_MS = 250;

/**
 * Calls back once when an ancestor of our own process group (npm, its shell, a script that runs us in the foreground)
 * is gone: they are killed with signals we never see. A service started with `&` may outlive its shell: there stdin
 * is /dev/null, and only npm itself counts.
 */
export function onAncestorDeath(callback: (pid: number) => void): void {
  const self = readProcess(process.pid);
  if (self === null) return;
  const watched = ancestorsInGroup(self.groupId).slice(0, inBackground() ? 1 : undefined);
  if (!('npm_lifecycle_event' in process.env) && inBackground()) return;
  const timer = setInterval(() => {
    const gone = watched.find(({ pid, startedAt }) => readProcess(pid)?.startedAt !== startedAt);
    if (gone === undefined) return;
    clearInterval(timer);
    callback(gone.pid);
  }, CHECK_EVERY_MS);
  timer.unref();
}

function ancestorsInGroup(groupId: number): readonly { readonly pid: number; readonly startedAt: string }[] {
  const found = [];
  let ancestor = readProcess(process.ppid);
  while (ancestor !== null && ancestor.pid > 1 && ancestor.groupId === groupId) {
    found.push(ancestor);
    ancestor = readProcess(ancestor.parentPid);
  }
  return found;
}

function inBackground(): boolean {
  try {
    return readlinkSync('/proc/self/fd/0') === '/dev/null';
  } catch {
    return false;
  }
}
