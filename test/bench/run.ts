/** `npm run bench`: measures the service, prints a table, writes JSON. See `--help`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stopChildren } from './lib/child.ts';
import { describeMachine } from './lib/machine.ts';
import { HELP, type Options, type PartName, readOptions } from './lib/options.ts';
import { installPeers } from './lib/peers.ts';
import { choosePlacement } from './lib/placement.ts';
import { createProgress } from './lib/progress.ts';
import { type PartResult, table } from './lib/results.ts';
import type { Run } from './lib/run.ts';
import { type Servers, startServers } from './lib/servers.ts';
import { startLoad } from './lib/service.ts';
import { stopVerbs } from './lib/verb.ts';
import { measureBulk } from './parts/bulk.ts';
import { measureFlips } from './parts/flip.ts';
import { measureLogins } from './parts/logins.ts';
import { measureMemory } from './parts/memory.ts';
import { measureModes } from './parts/modes.ts';
import { measurePeer } from './parts/peer.ts';
import { measureRates } from './parts/rates.ts';
import { measureRouter } from './parts/router.ts';

const PARTS: Readonly<Record<PartName, (run: Run, options: Options) => Promise<PartResult>>> = {
  logins: measureLogins,
  rates: measureRates,
  memory: measureMemory,
  peer: measurePeer,
  modes: measureModes,
  flip: measureFlips,
  router: measureRouter,
  bulk: measureBulk,
};
const NEED_PEERS: readonly PartName[] = ['peer', 'router'];

const { progress, done } = createProgress();

/** True when every part ran; goals missed are results, not failures. */
async function bench(options: Options): Promise<boolean> {
  const startedAt = new Date();
  const results: Partial<Record<PartName, PartResult>> = {};
  const failures: string[] = [];
  const peers = options.parts.some((part) => NEED_PEERS.includes(part))
    ? await attempt('peers', failures, () => installPeers(progress))
    : null;
  progress('starting the databases');
  const servers = await startServers(options, progress);
  stopServers = () => servers.stop();
  const placement = choosePlacement();
  const run: Run = { servers, placement, progress, load: startLoad(placement.load) };
  const loadBefore = loadavg()[0] ?? 0;
  for (const part of options.parts) {
    if (NEED_PEERS.includes(part) && peers === null) continue;
    const result = await attempt(part, failures, () => PARTS[part](run, options));
    if (result !== null) results[part] = result;
  }
  await end();
  done();
  const machine = describeMachine(peers);
  report({
    startedAt,
    options,
    machine,
    placement: placement.words,
    servers: servers.names,
    results,
    failures,
    loadBefore,
  });
  return failures.length === 0;
}

async function attempt<T>(part: string, failures: string[], work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    failures.push(`${part}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

interface Report {
  readonly startedAt: Date;
  readonly options: Options;
  readonly machine: ReturnType<typeof describeMachine>;
  readonly placement: string;
  readonly servers: Servers['names'];
  readonly results: Partial<Record<PartName, PartResult>>;
  readonly failures: readonly string[];
  /** Load average of the minute before: other work on the machine. */
  readonly loadBefore: number;
}

function report(all: Report): void {
  const { machine, servers, placement, results, failures, options, startedAt, loadBefore } = all;
  const rows = Object.values(results).flatMap((result) => result.rows);
  const seconds = Math.round((Date.now() - startedAt.getTime()) / 1000);
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const goals = rows.filter((row) => row.goal !== null);
  const met = goals.filter((row) => row.goal?.met).length;
  const file = options.jsonFile ?? defaultFile(startedAt);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...all, seconds }, null, 2)}\n`);
  const lines = [
    `\n${table(rows)}\n`,
    `servers   ${Object.values(servers).join('; ')}`,
    `machine   ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}; load average before: ${loadBefore.toFixed(1)}`,
    `versions  ${versions.join(', ')}`,
    `placement ${placement}; for logins and memory nothing is pinned`,
    `goals     ${met} met, ${goals.length - met} missed; ${seconds} s; details in ${file}`,
    ...failures.map((failure) => `FAILED    ${failure}`),
  ];
  console.log(lines.join('\n'));
}

function defaultFile(startedAt: Date): string {
  const name = startedAt.toISOString().replace(/[:.]/g, '-');
  return fileURLToPath(new URL(`../../bench-results/${name}.json`, import.meta.url));
}

let stopServers: () => Promise<void> = async () => {};

async function end(): Promise<void> {
  stopVerbs();
  await stopChildren();
  await stopServers();
}

function interrupted(): void {
  done();
  console.error('interrupted: stopping');
  void end().finally(() => process.exit(1));
}

process.once('SIGINT', interrupted);
process.once('SIGTERM', interrupted);

try {
  const options = readOptions(process.argv.slice(2));
  if (options === 'help') console.log(HELP);
  else process.exitCode = (await bench(options)) ? 0 : 1;
} catch (error) {
  done();
  console.error(error instanceof Error ? error.message : error);
  await end();
  process.exitCode = 1;
}
