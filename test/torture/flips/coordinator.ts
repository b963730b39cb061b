/**
 * An operator's verb as a process of its own, which begins when its order is there, in the file that it is given; to be
 * killed or stopped at the very step that is named: it does that to itself when the step begins, before anything of it was
 * asked. Prints one JSON line for each step and one for the end.
 */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CopyScope,
  listBackfills,
  openBulk,
  type Report,
  repair,
  resumeBackfill,
  runBackfill,
  verify,
} from '../../../cutover/copy/index.ts';
import { systemEnvironment } from '../../../cutover/environment.ts';
import { move, setSetting } from '../../../cutover/operator/index.ts';
import type { MoveRequest, OperatorContext } from '../../../cutover/operator/types.ts';
import { createSnapshot } from '../../../cutover/snapshot/create.ts';
import { SILENT } from '../../../cutover/telemetry.ts';
import type { StoreName } from '../../../db/errors.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';

export type Order =
  | { readonly verb: 'settings'; readonly settings: Readonly<Record<string, string>> }
  | {
      readonly verb: 'move';
      readonly request: MoveRequest;
      readonly at: { readonly step: string; readonly signal: 'SIGKILL' | 'SIGSTOP' } | null;
    }
  /** From the authority into the other store, or what is left of a run that was killed. */
  | { readonly verb: 'backfill'; readonly from: StoreName; readonly killAt: string | null }
  | { readonly verb: 'verify' | 'repair' }
  | { readonly verb: 'snapshot'; readonly dir: string };

export type Line =
  | { readonly kind: 'step'; readonly step: string; readonly message: string }
  | {
      readonly kind: 'end';
      /** `difference`: a verify that is not clean, a backfill that met bad data. */
      readonly result: string;
      readonly mode: string | null;
      readonly pauseMs: number | null;
      readonly reasons: readonly string[];
    };

type End = Extract<Line, { kind: 'end' }>;

/** A machine that does much else is slow, not broken. */
const TIMEOUT_MS = 10_000;
/** The service's default; nothing in a run is that old. */
const RETENTION_MS = 30 * 86_400_000;
const SHOWN_MAX = 10;
/** Between two looks for the order. */
const LOOK_MS = 10;

const ended = (result: string, reasons: readonly string[] = []): End => ({
  kind: 'end',
  result,
  mode: null,
  pauseMs: null,
  reasons,
});

async function ordered(file: string): Promise<Order> {
  while (!existsSync(file)) await sleep(LOOK_MS);
  return JSON.parse(readFileSync(file, 'utf8')) as Order;
}

async function main(order: Order): Promise<End> {
  const { MONGO_URL: mongoUrl = '', DATABASE_URL: postgresUrl = '' } = process.env;
  const limits = { timeoutMs: TIMEOUT_MS, poolMax: 4 };
  const stores = {
    mongo: await openMongoStore({ url: mongoUrl, emailKeyPass: false, ...limits }),
    postgres: await openPostgresStore({ url: postgresUrl, ...limits }),
  };
  let struck = false;
  const environment = systemEnvironment();
  const context: OperatorContext = {
    stores,
    environment,
    telemetry: SILENT,
    report({ step, message }) {
      print({ kind: 'step', step, message });
      if (struck || order.verb !== 'move' || order.at?.step !== step) return;
      struck = true;
      process.kill(process.pid, order.at.signal);
    },
  };
  const scope = (): CopyScope => ({
    stores,
    ...openBulk({ mongoUrl, postgresUrl }),
    environment,
    telemetry: SILENT,
    retentionMs: RETENTION_MS,
  });
  switch (order.verb) {
    case 'settings':
      for (const [key, value] of Object.entries(order.settings)) await setSetting(context, key, value);
      return ended('done');
    case 'move': {
      const { kind, after, longestPauseMs, reasons, failing } = await move(context, order.request);
      const gates = failing.map(({ name, found, required }) => `${name}: ${found}; required: ${required}`);
      const said = ended(kind, [...reasons, ...gates]);
      return { ...said, mode: after?.mode ?? null, pauseMs: longestPauseMs };
    }
    case 'backfill':
      return backfill(scope(), order.from, order.killAt);
    case 'verify': {
      const { clean, differing, differences } = await verify(scope());
      const named = differences.map(
        ({ entity, id, kind, fields }) => `${entity} ${id} ${kind} ${fields.join(' ')}`,
      );
      return clean
        ? ended('done')
        : ended('difference', [`${differing} records differ`, ...named.slice(0, SHOWN_MAX)]);
    }
    case 'repair': {
      const { unrepairable } = await repair(scope());
      return unrepairable.length === 0
        ? ended('done')
        : ended('difference', [`${unrepairable.length} cannot be repaired`]);
    }
    case 'snapshot': {
      const urls = { mongo: mongoUrl, postgres: postgresUrl };
      await createSnapshot({ ...context, urls, env: process.env }, { dir: order.dir });
      return ended('done');
    }
  }
}

/** A run that was killed is gone on with; one in the other direction, which authority has left behind, is overtaken. */
async function backfill(scope: CopyScope, from: StoreName, killAt: string | null): Promise<End> {
  const report: Report = ({ phase, documents }) => {
    print({ kind: 'step', step: phase, message: `${documents} documents` });
    if (phase === killAt) process.kill(process.pid, 'SIGKILL');
  };
  const runs = await listBackfills(scope, 10);
  const open = runs.find((run) => run.from === from && (run.state === 'copying' || run.state === 'merging'));
  const { outcome, bad } =
    open === undefined
      ? await runBackfill(scope, { from, onBad: 'rollback', report })
      : await resumeBackfill(scope, open.run, { report });
  if (outcome === 'complete') return ended('done');
  const named = bad.map(({ entity, id, field, reason }) => `${entity} ${id} ${field}: ${reason}`);
  return ended('difference', [outcome, ...named.slice(0, SHOWN_MAX)]);
}

function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

try {
  print(await main(await ordered(process.argv[2] ?? '')));
} catch (error) {
  print(ended('failed', [error instanceof Error ? `${error.name}: ${error.message}` : String(error)]));
}
process.exit();
