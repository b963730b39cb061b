/** What a server process measures of itself between two readings. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface Reading {
  /** Since the last reading, of all threads of the process. */
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly rssBytes: number;
  /** The greatest of ten readings a second since the last one. */
  readonly rssPeakBytes: number;
  readonly heapUsedBytes: number;
  /** How late a timer of 1 ms fires, since the last reading; null unless asked for. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
}

const RESOLUTION_MS = 1;
const RSS_EVERY_MS = 100;

/** Starts measuring; each call of the returned function reads and starts anew. */
export function startGauges(options: { readonly loopDelay: boolean }): () => Reading {
  const delays = options.loopDelay ? monitorEventLoopDelay({ resolution: RESOLUTION_MS }) : null;
  delays?.enable();
  let cpu = process.cpuUsage();
  let startMs = performance.now();
  let rssPeakBytes = 0;
  setInterval(() => {
    rssPeakBytes = Math.max(rssPeakBytes, process.memoryUsage.rss());
  }, RSS_EVERY_MS).unref();
  return () => {
    const used = process.cpuUsage(cpu);
    const { rss, heapUsed } = process.memoryUsage();
    const reading: Reading = {
      cpuMs: (used.user + used.system) / 1000,
      wallMs: performance.now() - startMs,
      rssBytes: rss,
      rssPeakBytes: Math.max(rssPeakBytes, rss),
      heapUsedBytes: heapUsed,
      // The histogram holds whole intervals: a timer that is in time counts as 1 ms.
      loopDelayMs: delays && {
        p50: late(delays.percentile(50)),
        p99: late(delays.percentile(99)),
        max: late(delays.max),
      },
    };
    delays?.reset();
    cpu = process.cpuUsage();
    startMs = performance.now();
    rssPeakBytes = 0;
    return reading;
  };
}

const late = (intervalNs: number): number => Math.max(0, intervalNs / 1e6 - RESOLUTION_MS);
