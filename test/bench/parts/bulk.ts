/**
 * The bulk verbs, each a process of its own, beside the raw halves of their work in the same run: a bare cursor over the
 * same documents, and a bare COPY of the same rows into tables like the live ones. In turns, so that a machine that
 * slows down slows all of them down. Peak memory is that of the verb's process, on a crowd and on one ten times as large.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crowdSize, insertCrowd } from '../../support/crowd.ts';
import type { HalvesAnswer, HalvesRequest } from '../entry/halves.ts';
import { startChild } from '../lib/child.ts';
import type { Options } from '../lib/options.ts';
import { atLeast, atMost, info, memory, type PartResult, type Row } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { type InstallationOfBoth, installBoth } from '../lib/service.ts';
import { median } from '../lib/stats.ts';
import { runVerb, type VerbRun } from '../lib/verb.ts';

const GOAL = 0.8;
const MEMORY_GOAL = 1.2;
const JOBS = 2;

const VERBS = {
  backfill: ['backfill', '--jobs', String(JOBS), '--no-snapshot'],
  verify: ['verify', '--full', '--jobs', String(JOBS)],
} as const;

/** Documents a second of each, round by round, and what the verbs' processes needed. */
interface Measured {
  readonly users: number;
  readonly documents: number;
  readonly rates: Readonly<
    Record<'scan' | 'ordered scan' | 'copy' | 'backfill' | 'verify', readonly number[]>
  >;
  readonly runs: Readonly<Record<keyof typeof VERBS, readonly VerbRun[]>>;
}

export async function measureBulk(run: Run, options: Options): Promise<PartResult> {
  run.servers.place(null);
  const sizes = options.crowds;
  const all: Measured[] = [];
  // The large crowd once: it costs minutes, and its memory is what it is there for.
  for (const [place, users] of sizes.entries()) {
    all.push(await measureCrowd(run, options, users, place === 0 ? options.rounds : 1));
  }
  const rows = all.flatMap(speedRows);
  return { rows: [...rows, ...memoryRows(all)], details: all };
}

async function measureCrowd(run: Run, options: Options, users: number, rounds: number): Promise<Measured> {
  const { progress } = run;
  const words = `bulk, ${users} users`;
  const installation = await begin(run, options, users, words);
  const { urls } = installation;
  const folder = mkdtempSync(join(tmpdir(), 'bench-bulk-'));
  const halves = startChild({ entry: 'halves.ts', cores: null });
  const ask = (request: HalvesRequest) => halves.ask<HalvesAnswer>(request);
  const measured = {
    users,
    documents: crowdSize(users),
    rates: { scan: [], 'ordered scan': [], copy: [], backfill: [], verify: [] } as Record<
      keyof Measured['rates'],
      number[]
    >,
    runs: { backfill: [], verify: [] } as Record<keyof typeof VERBS, VerbRun[]>,
  };
  const verb = async (name: keyof typeof VERBS): Promise<void> => {
    progress(`${words}: ${name}`);
    const ran = await runVerb(VERBS[name], urls);
    assertWhole(name, ran, measured.documents);
    measured.runs[name].push(ran);
    measured.rates[name].push((measured.documents / Number(ran.body['tookMs'])) * 1000);
  };
  const scans = async (): Promise<void> => {
    for (const ordered of [false, true]) {
      progress(`${words}: bare ${ordered ? 'ordered ' : ''}scan`);
      measured.rates[ordered ? 'ordered scan' : 'scan'].push(
        perSecond(await ask({ type: 'scan', url: urls.mongo, ordered })),
      );
    }
  };
  try {
    for (let round = 0; round < rounds; round += 1) {
      await scans();
      await verb('backfill');
      if (round === 0) await ask({ type: 'export', url: urls.postgres, folder });
      progress(`${words}: bare COPY`);
      measured.rates.copy.push(perSecond(await ask({ type: 'copy', url: urls.postgres, folder })));
      await verb('verify');
      await scans();
      await ask({ type: 'empty', url: urls.postgres });
    }
  } finally {
    await halves.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return measured;
}

/** The old service's documents, and a service that has been there and gone: it made the control record and the schema. */
async function begin(
  { servers, progress }: Run,
  options: Options,
  users: number,
  words: string,
): Promise<InstallationOfBoth> {
  const installation = await installBoth(servers, 'mongo-only', options);
  const service = await installation.start({ cores: null, cost: options.cost });
  await service.stop();
  progress(`${words}: inserting ${crowdSize(users)} documents`);
  await insertCrowd(installation.urls.mongo, { users });
  await runVerb(['promote', '--to', 'dual-write', '--no-foreign-writers'], installation.urls);
  return installation;
}

/** A verb that left something out would be fast. */
function assertWhole(name: keyof typeof VERBS, { body }: VerbRun, documents: number): void {
  const counts = body['counts'] as Readonly<Record<string, number>> | undefined;
  const done = name === 'backfill' ? counts?.['inserted'] : body['compared'];
  if (done !== documents) throw new Error(`${name}: ${String(done)} of ${documents} documents`);
}

const perSecond = ({ documents, ms }: HalvesAnswer): number => (documents / ms) * 1000;

function speedRows({ users, documents, rates, runs }: Measured): readonly Row[] {
  const name = `bulk · ${words(users)}`;
  const scan = median(rates.scan);
  const [ordered, copy] = [median(rates['ordered scan']), median(rates.copy)];
  const slower = copy < scan ? rates.copy : rates.scan;
  const bare = `bare scan ${rate(scan)} (${rate(ordered)} in the order of _id), bare COPY ${rate(copy)}`;
  const share = (verb: keyof typeof VERBS, beside: readonly number[]): Row => {
    const each = rates[verb].map((value) => value / median(beside));
    const wall = runs[verb].map(({ wallMs }) => (documents / wallMs) * 1000);
    const note = `single runs ${each.map((value) => value.toFixed(2)).join(', ')}; with the process's start ${rate(median(wall))}; ${rate(median(rates[verb]))} beside ${bare}; ${(median(rates[verb]) / ordered).toFixed(2)} of the ordered scan`;
    return atLeast(
      `${name} · ${verb} / ${beside === rates.copy ? 'bare COPY' : 'bare scan'}`,
      median(each),
      '',
      GOAL,
      note,
    );
  };
  return [
    info(
      `${name} · backfill`,
      median(rates.backfill),
      '/s',
      `${documents} documents, ${JOBS} jobs, without a snapshot`,
    ),
    share('backfill', slower),
    info(`${name} · verify`, median(rates.verify), '/s'),
    share('verify', rates.scan),
  ];
}

function memoryRows(all: readonly Measured[]): readonly Row[] {
  const peak = ({ runs }: Measured, verb: keyof typeof VERBS, of: 'rssBytes' | 'heapBytes'): number =>
    Math.max(...runs[verb].map((ran) => ran.peak[of]));
  const [small, large] = all;
  return (Object.keys(VERBS) as (keyof typeof VERBS)[]).flatMap((verb) => {
    const rows = all.map((measured) =>
      memory(
        `bulk · ${words(measured.users)} · ${verb}, peak`,
        peak(measured, verb, 'rssBytes'),
        `RSS of its process; heap in use at most ${Math.round(peak(measured, verb, 'heapBytes') / 2 ** 20)} MiB`,
      ),
    );
    if (small === undefined || large === undefined) return rows;
    const ratio = peak(large, verb, 'rssBytes') / peak(small, verb, 'rssBytes');
    const name = `bulk · ${verb}, peak at ${words(large.users)} / at ${words(small.users)}`;
    return [...rows, atMost(name, ratio, '', MEMORY_GOAL)];
  });
}

const words = (users: number): string =>
  users >= 1_000_000 ? `${users / 1_000_000} M` : `${users / 1_000} k`;
const rate = (perSecond: number): string => `${Math.round(perSecond)}/s`;
