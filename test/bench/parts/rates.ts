/** Refresh and me: latency at a fixed rate, whatever the answers do, and the most the service can answer. */
import type { StoreName } from '../../../db/errors.ts';
import type { Options } from '../lib/options.ts';
import { info, type PartResult, type Row } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { install, seed } from '../lib/service.ts';
import { median, sum } from '../lib/stats.ts';

const FLOWS = ['me', 'refresh'] as const;
/** Connections of the open loop: more than are ever busy, unless the service falls behind. */
const OPEN_CONNECTIONS = 64;

export async function measureRates(run: Run, options: Options): Promise<PartResult> {
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  run.servers.place(run.placement.databases);
  for (const store of options.stores) {
    const result = await measureStore(run, options, store);
    rows.push(...result.rows);
    details[store] = result.details;
  }
  return { rows, details };
}

async function measureStore(
  { servers, load, placement, progress }: Run,
  options: Options,
  store: StoreName,
): Promise<PartResult> {
  const { warmUpMs, windowMs, people } = options;
  const audience = `rates ${store}`;
  progress(`rates, ${store}: signing up ${people} people`);
  const installation = await install(servers, store, options);
  await seed(installation, load, audience, people);
  const service = await installation.start({ cores: placement.service, cost: options.cost });
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  for (const flow of FLOWS) {
    const job = { audience, port: service.port, flow, warmUpMs, windowMs };
    const name = `${flow} · ${store}`;
    const most = [];
    for (let window = 0; window < options.rounds; window++) {
      progress(`rates, ${store}: ${flow}, as many as it can`);
      await service.read();
      const answer = await load.run({ ...job, connections: options.connections, rate: null });
      most.push({ answer, reading: await service.read() });
    }
    const rate = options.rates[flow];
    progress(`rates, ${store}: ${flow}, ${rate} per second`);
    const fixed = await load.run({ ...job, connections: OPEN_CONNECTIONS, rate });
    const busy = median(most.map(({ reading }) => (reading.cpuMs / reading.wallMs) * 100));
    const perSecond = median(most.map(({ answer }) => answer.perSecond));
    const cpuMs =
      sum(most.map(({ reading }) => reading.cpuMs)) / sum(most.map(({ answer }) => answer.answered));
    const at = `at ${rate}/s, open loop`;
    rows.push(
      info(
        `${name} · maximum`,
        perSecond,
        '/s',
        `${options.connections} connections; ${cpuMs.toFixed(2)} ms CPU each, CPU ${busy.toFixed(0)} %`,
      ),
      info(`${name} · p50`, fixed.p50Ms, 'ms', at),
      info(`${name} · p99`, fixed.p99Ms, 'ms', `${at}; max ${fixed.maxMs.toFixed(1)} ms`),
    );
    details[flow] = { most, fixed };
  }
  await service.stop();
  return { rows, details };
}
