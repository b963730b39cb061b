/** Runs in a worker thread, synchronously: the thread has nothing else to do. */
import { setPriority } from 'node:os';
import { workerData } from 'node:worker_threads';
import { compareSync, genSaltSync, hashSync } from 'bcryptjs';

export type HashJob =
  | { readonly kind: 'hash'; readonly password: string; readonly cost: number }
  | {
      readonly kind: 'verify';
      readonly password: string;
      /** Well-formed bcrypt. */
      readonly hash: string;
      readonly hashCost: number;
      /** A cheaper hash is made as expensive as one of this cost. */
      readonly cost: number;
    };

export interface WorkerSettings {
  /** Added to this thread's nice value: the event loop goes first when all cores are busy. */
  readonly niceness: number;
}

// Elsewhere than on Linux this would slow the whole process down, not just the thread.
if (process.platform === 'linux') setPriority(0, (workerData as WorkerSettings).niceness);

export default function work(job: HashJob): string | boolean {
  if (job.kind === 'hash') return hashSync(job.password, job.cost);
  const matches = compareSync(job.password, job.hash);
  topUp(job);
  return matches;
}

/** 2^c + (2^c + 2^(c+1) + … + 2^(C-1)) = 2^C rounds: a stranger cannot tell an old account by a quick answer. */
function topUp({ password, hashCost, cost }: HashJob & { kind: 'verify' }): void {
  for (let extra = hashCost; extra < cost; extra++) hashSync(password, genSaltSync(extra));
}
