/** Bare bcryptjs: as many threads as cores, each comparing one password after the other, and nothing else. */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import bcrypt from 'bcryptjs';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { ratePerSecond } from '../lib/stats.ts';

export interface BcryptRequest {
  readonly cost: number;
  readonly warmUpMs: number;
  readonly windowMs: number;
}

export interface BcryptAnswer {
  readonly threads: number;
  readonly count: number;
  readonly perSecond: number;
}

const PASSWORD = 'bench password';

if (isMainThread) {
  endWithParent();
  answerRequests<BcryptRequest>(async (request) => {
    const threads = availableParallelism();
    const hash = bcrypt.hashSync(PASSWORD, request.cost);
    const ends = await Promise.all(Array.from({ length: threads }, () => runThread({ ...request, hash })));
    const all = ends.flat();
    return { threads, count: all.length, perSecond: ratePerSecond(all) } satisfies BcryptAnswer;
  });
} else {
  parentPort?.postMessage(compareUntil(workerData));
}

/** When each comparison of the window ended, ms on the clock that all threads share. */
function compareUntil({ hash, warmUpMs, windowMs }: BcryptRequest & { readonly hash: string }): number[] {
  const startMs = Date.now() + warmUpMs;
  const ends: number[] = [];
  for (;;) {
    if (!bcrypt.compareSync(PASSWORD, hash)) throw new Error('bcryptjs refuses a right password');
    const endMs = performance.timeOrigin + performance.now();
    if (endMs >= startMs + windowMs) return ends;
    if (endMs >= startMs) ends.push(endMs);
  }
}

function runThread(data: BcryptRequest & { readonly hash: string }): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
