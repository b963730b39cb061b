/** A server that is there but does not answer: its processes are stopped, the kernel keeps accepting connections. */
import { descendantsOf, signal } from '../../db/embedded/processes.ts';

/** Stops the process and all below it. Shared servers serve other test files too: freeze only one of your own. */
export function freeze(server: { readonly pid: number }): void {
  // The parent first: it would start new ones.
  signal(server.pid, 'SIGSTOP');
  for (const pid of descendantsOf(server.pid)) signal(pid, 'SIGSTOP');
}

/** Lets it go on, also when it was not frozen. */
export function thaw(server: { readonly pid: number }): void {
  for (const pid of descendantsOf(server.pid)) signal(pid, 'SIGCONT');
  signal(server.pid, 'SIGCONT');
}
