/** Processes that copy, each killed with SIGKILL at a moment of its test's choice. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { StoreName } from '../../db/errors.ts';
import { eventually } from '../support/wait.ts';
import type { Bench } from './support.ts';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));

/** What `child.ts` is told. */
export interface Orders {
  readonly urls: Bench['urls'];
  readonly run: string;
  readonly verb: 'backfill' | 'resume' | 'rollback' | 'verify' | 'worker';
  readonly from: StoreName;
  /** Documents each second; 0: as fast as it can. */
  readonly rate: number;
  /** The line after which it stands still until it is killed; null: it goes on. */
  readonly haltAt: string | null;
}

/** To be called in a `describe`: what still runs after a test is killed. */
export function killing(bench: Bench, from: StoreName) {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  /** Starts a process; resolves when it has said one of the lines, or has ended. */
  async function startUntil(
    lines: readonly string[],
    orders: Pick<Orders, 'run' | 'verb'> & Partial<Orders>,
  ): Promise<ChildProcess> {
    const given: Orders = { urls: bench.urls, from, rate: 0, haltAt: null, ...orders };
    const child = spawn(process.execPath, [CHILD, JSON.stringify(given)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) if (lines.includes(line)) break;
    return child;
  }

  async function killed(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Nobody coordinates: a server notices the end of a killed process's connections, and of their locks, in its own time. */
  async function freed(): Promise<void> {
    const locks = `select from pg_locks join pg_database as here on here.oid = pg_locks.database
      where locktype = 'advisory' and here.datname = current_database()`;
    await eventually(async () => (await bench.postgres.query(locks)).length === 0, { timeoutMs: 30_000 });
  }

  return {
    startUntil,
    killed,
    freed,
    /** Starts one that stands still once it has said that line, and kills it there. */
    async killedAt(haltAt: string, orders: Pick<Orders, 'run' | 'verb'> & Partial<Orders>): Promise<void> {
      await killed(await startUntil([haltAt], { ...orders, haltAt }));
      await freed();
    },
  };
}
