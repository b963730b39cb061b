/** Resident memory of a fresh service process: at rest, under each load, and at rest again. */
import { setTimeout as delay } from 'node:timers/promises';
import type { StoreName } from '../../../db/errors.ts';
import type { FlowName } from '../lib/flows.ts';
import type { Options } from '../lib/options.ts';
import { memory, type PartResult, type Row } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { install, seed } from '../lib/service.ts';

const LOADS: readonly FlowName[] = ['me', 'refresh', 'login'];

export async function measureMemory(run: Run, options: Options): Promise<PartResult> {
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  run.servers.place(null);
  for (const store of options.stores) {
    const result = await measureStore(run, options, store);
    rows.push(...result.rows);
    details[store] = result.details;
  }
  return { rows, details };
}

async function measureStore(
  { servers, load, progress }: Run,
  options: Options,
  store: StoreName,
): Promise<PartResult> {
  const audience = `memory ${store}`;
  progress(`memory, ${store}: signing up ${options.people} people`);
  const installation = await install(servers, store, options);
  await seed(installation, load, audience, options.people);
  const service = await installation.start({ cores: null, cost: options.cost });
  progress(`memory, ${store}: at rest`);
  await delay(options.restMs);
  const rest = await service.read();
  const peaks: Partial<Record<FlowName, number>> = {};
  for (const flow of LOADS) {
    progress(`memory, ${store}: under ${flow}`);
    await service.read();
    await load.run({
      audience,
      port: service.port,
      flow,
      connections: options.connections,
      rate: null,
      warmUpMs: 0,
      windowMs: options.windowMs,
    });
    peaks[flow] = (await service.read()).rssPeakBytes;
  }
  progress(`memory, ${store}: at rest again`);
  await delay(options.restMs);
  const after = await service.read();
  await service.stop();
  const name = `memory · ${store}`;
  const each = Object.entries(peaks).map(([flow, bytes]) => `${flow} ${Math.round(bytes / 1024 / 1024)}`);
  return {
    rows: [
      memory(`${name} · at rest`, rest.rssBytes, 'RSS, worker threads included'),
      memory(
        `${name} · under load`,
        Math.max(...Object.values(peaks)),
        `peak RSS in MiB: ${each.join(', ')}`,
      ),
      memory(`${name} · at rest again`, after.rssBytes),
    ],
    details: { rest, peaks, after },
  };
}
