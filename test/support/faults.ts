/**
 * Servers that are there but do not answer: all their processes stand still while the kernel keeps accepting
 * connections. What comes back from here has been seen to stand.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { descendantsOf, signal } from '../../db/embedded/processes.ts';
import type { Store } from '../../db/port.ts';
import { eventually } from './wait.ts';

export interface Frozen {
  /** Lets the processes go on; once is enough, and again does nothing. */
  thaw(): void;
}

/** How long a query on an open connection must hang before the server passes for frozen. */
const HANGS_MS = 150;
/** More than the pool of any store of the tests may open. */
const POOL_MOST = 20;

/**
 * Stops the process and everything below it, in whatever process groups and sessions, and returns once every thread of
 * them stands. Shared servers serve other test files too: freeze only one of your own.
 */
export async function freezeProcess(server: { readonly pid: number }): Promise<Frozen> {
  // The parents first, and again until nobody new is found: a fork may have been under way.
  const stopped = new Set<number>();
  for (
    let found = [server.pid];
    found.length > 0;
    found = family(server.pid).filter((pid) => !stopped.has(pid))
  ) {
    for (const pid of found) {
      signal(pid, 'SIGSTOP');
      stopped.add(pid);
    }
    await eventually(() => found.every(stands), { timeoutMs: 60_000, intervalMs: 2 });
  }
  return { thaw: () => thawProcess(server) };
}

/** Lets it go on, also when it was not frozen; children first, so that a parent finds them answering. */
export function thawProcess(server: { readonly pid: number }): void {
  for (const pid of [...family(server.pid)].reverse()) signal(pid, 'SIGCONT');
}

/**
 * Freezes the postmaster and all its backends, which are in sessions of their own, and asserts that a query on a
 * connection that was open before then hangs. `url` must lead to the server itself, not through a proxy.
 */
export async function freezePostgres(
  server: { readonly pid: number; readonly url: string },
  hangsMs = HANGS_MS,
): Promise<Frozen> {
  const pool = new pg.Pool({ connectionString: server.url, max: 1 });
  pool.on('error', () => {});
  const client = await pool.connect();
  client.on('error', () => {});
  let frozen: Frozen | null = null;
  try {
    await client.query('select 1');
    frozen = await freezeProcess(server);
    await expectHanging('PostgreSQL', () => client.query('select 1'), hangsMs);
    return frozen;
  } catch (error) {
    frozen?.thaw();
    throw error;
  } finally {
    client.release(true);
    await pool.end();
  }
}

/**
 * Freezes the server of this store as `freeze` does, once its pool has opened its connections, and asserts that a query on them
 * hangs as well.
 */
export async function freezeUnder(store: Store, freeze: () => Promise<Frozen>): Promise<Frozen> {
  await fillPool(store);
  const frozen = await freeze();
  try {
    await expectHanging(store.name, () => store.replica.countMarks());
    return frozen;
  } catch (error) {
    frozen.thaw();
    throw error;
  }
}

/** Opens all the connections that the store's pool may have. */
export async function fillPool(store: Store): Promise<void> {
  await Promise.all(Array.from({ length: POOL_MOST }, () => store.replica.countMarks()));
}

/** Throws unless this is still without an answer, and without an error, after a time in which servers answer. */
export async function expectHanging(
  what: string,
  ask: () => Promise<unknown>,
  hangsMs = HANGS_MS,
): Promise<void> {
  const end = new AbortController();
  const asked = ask().then(
    () => 'has answered',
    (error: unknown) => `has failed: ${String(error)}`,
  );
  const hangs = setTimeout(hangsMs, null, { signal: end.signal }).catch(() => null);
  const outcome = await Promise.race([asked, hangs]);
  end.abort();
  if (outcome !== null) throw new Error(`a frozen ${what} ${outcome}`);
}

/** Freezes a MongoDB-wire server. */
export const freezeMongo: (server: { readonly pid: number }) => Promise<Frozen> = freezeProcess;

function family(pid: number): readonly number[] {
  return [pid, ...descendantsOf(pid)];
}

/** A signal reaches the threads of a busy process one by one: it stands when all of them do, or when it is gone. */
function stands(pid: number): boolean {
  return threadStates(pid).every((state) => state === 'T' || state === 'Z' || state === 'X');
}

/** The kernel's letter for the state of each thread. */
function threadStates(pid: number): readonly string[] {
  const tasks = `/proc/${pid}/task`;
  try {
    return readdirSync(tasks).map((task) => {
      const stat = readFileSync(`${tasks}/${task}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2)[0] ?? '';
    });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    // Gone is as good as standing; a thread that ended between the two reads is looked for again.
    if (code === 'ENOENT' || code === 'ESRCH') return isThere(tasks) ? ['?'] : [];
    throw error;
  }
}

function isThere(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}
