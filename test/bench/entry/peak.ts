/** Loaded before a program (`--import`): writes what it needed into the file that `BENCH_PEAK_FILE` names, at its end. */
import { readFileSync, writeFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

export interface Peak {
  /** Resident memory of the whole process, worker threads included. */
  readonly rssBytes: number;
  /** The greatest heap in use that was seen, of the main thread. */
  readonly heapBytes: number;
  /** Of all threads. */
  readonly cpuMs: number;
}

const LOOK_MS = 50;
const file = process.env['BENCH_PEAK_FILE'];

if (isMainThread && file !== undefined) {
  let heapBytes = 0;
  const look = (): void => {
    heapBytes = Math.max(heapBytes, getHeapStatistics().used_heap_size);
  };
  setInterval(look, LOOK_MS).unref();
  process.on('exit', () => {
    look();
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    const peak: Peak = { rssBytes: peakRss(), heapBytes, cpuMs: (userCPUTime + systemCPUTime) / 1000 };
    writeFileSync(file, JSON.stringify(peak));
  });
}

/** Linux also counts what the parent process had when it forked into `maxRSS`: only the high-water mark is ours alone. */
function peakRss(): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
