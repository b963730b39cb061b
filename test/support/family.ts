import { descendantsOf, type ProcessRow, readProcess } from '../../db/embedded/processes.ts';

/** A process and all below it, parents before children. */
export function familyOf(pid: number): readonly ProcessRow[] {
  return [pid, ...descendantsOf(pid)].map(readProcess).filter((row) => row !== null);
}
