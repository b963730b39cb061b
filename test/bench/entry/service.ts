/** The real service in a process of its own, from its environment, which also reports on itself. */
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '../../../plugins/config.ts';
import { serve } from '../../../src/server.ts';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { startGauges } from '../lib/gauges.ts';

const LOOK_MS = 10;
const SETTLE_MS = 60_000;

endWithParent();
const read = startGauges({ loopDelay: process.env['BENCH_LOOP_DELAY'] === '1' });
const config = loadConfig(process.env, { production: process.env['NODE_ENV'] === 'production' });
const server = await serve(config);

/** Resolves when everything written so far is in the mirror: how long that took, ms. */
async function settle(): Promise<number> {
  const startMs = performance.now();
  while (server.app.cutover.status().mirror.queued > 0) {
    if (performance.now() - startMs > SETTLE_MS) throw new Error('the mirror does not catch up');
    await sleep(LOOK_MS);
  }
  return performance.now() - startMs;
}

answerRequests<{ readonly type: 'start' | 'read' | 'settle' }>(async ({ type }) => {
  switch (type) {
    case 'start':
      return (server.app.server.address() as AddressInfo).port;
    case 'read':
      return read();
    case 'settle':
      return settle();
  }
});
