/** The real service in a process of its own, from its environment, which also reports on itself. */
import type { AddressInfo } from 'node:net';
import { loadConfig } from '../../../plugins/config.ts';
import { startServer, stopOnSignals } from '../../../src/server.ts';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { startGauges } from '../lib/gauges.ts';

endWithParent();
const read = startGauges({ loopDelay: process.env['BENCH_LOOP_DELAY'] === '1' });
const config = loadConfig(process.env, { production: process.env['NODE_ENV'] === 'production' });
const server = await startServer(config);
stopOnSignals(server, config);

answerRequests<{ readonly type: 'start' | 'read' }>(async ({ type }) =>
  type === 'start' ? (server.app.server.address() as AddressInfo).port : read(),
);
