/** Which process runs on which core, so that the load generator does not take what it measures. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export interface Placement {
  /** Core lists for `taskset`; null: all. */
  readonly service: string | null;
  readonly load: string | null;
  readonly databases: string | null;
  /** In a sentence, for the report. */
  readonly words: string;
}

const ANYWHERE = { service: null, load: null, databases: null };

/** For single-threaded loads (me, refresh): the service has a core of its own where there are two or more. */
export function choosePlacement(): Placement {
  const cores = availableParallelism();
  const canPin = spawnSync('taskset', ['-p', String(process.pid)]).status === 0;
  if (cores < 2 || !canPin) {
    const why = canPin ? 'there is one core' : 'taskset is missing';
    return { ...ANYWHERE, words: `nothing is pinned (${why}): all processes share ${cores} core(s)` };
  }
  if (cores < 4) {
    return {
      service: '0',
      load: '1',
      databases: '1',
      words: 'the measured service on core 0; load generator and databases share core 1',
    };
  }
  return {
    service: '0',
    load: '1',
    databases: `2-${cores - 1}`,
    words: `the measured service on core 0, the load generator on core 1, databases on cores 2-${cores - 1}`,
  };
}

/** Moves a running server with all its threads and child processes; null: back to all cores. */
export function place(pid: number, cores: string | null): void {
  const list = cores ?? `0-${availableParallelism() - 1}`;
  for (const each of [pid, ...childrenOf(pid)]) spawnSync('taskset', ['-apc', list, String(each)]);
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((word) => word !== '')
      .map(Number)
      .flatMap((child) => [child, ...childrenOf(child)]);
  } catch {
    return [];
  }
}
