/**
 * An operator's verb as a process of its own, to be killed or stopped at the very step that is named: it does that to
 * itself when the step begins, before anything of it was asked. Prints one JSON line for each step and one for the end.
 */
import { systemEnvironment } from '../../../cutover/environment.ts';
import { move, setSetting } from '../../../cutover/operator/index.ts';
import type { MoveRequest, OperatorContext } from '../../../cutover/operator/types.ts';
import { SILENT } from '../../../cutover/telemetry.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';

export type Order =
  | { readonly verb: 'settings'; readonly settings: Readonly<Record<string, string>> }
  | {
      readonly verb: 'move';
      readonly request: MoveRequest;
      readonly at: { readonly step: string; readonly signal: 'SIGKILL' | 'SIGSTOP' } | null;
    };

export type Line =
  | { readonly kind: 'step'; readonly step: string; readonly message: string }
  | {
      readonly kind: 'end';
      readonly result: string;
      readonly mode: string | null;
      readonly pauseMs: number | null;
      readonly reasons: readonly string[];
    };

const TIMEOUT_MS = 2_000;

async function main(order: Order): Promise<void> {
  const { MONGO_URL: mongoUrl = '', DATABASE_URL: postgresUrl = '' } = process.env;
  const limits = { timeoutMs: TIMEOUT_MS, poolMax: 4 };
  const stores = {
    mongo: await openMongoStore({ url: mongoUrl, emailKeyPass: false, ...limits }),
    postgres: await openPostgresStore({ url: postgresUrl, ...limits }),
  };
  let struck = false;
  const context: OperatorContext = {
    stores,
    environment: systemEnvironment(),
    telemetry: SILENT,
    report({ step, message }) {
      print({ kind: 'step', step, message });
      if (struck || order.verb !== 'move' || order.at?.step !== step) return;
      struck = true;
      process.kill(process.pid, order.at.signal);
    },
  };
  if (order.verb === 'settings') {
    for (const [key, value] of Object.entries(order.settings)) await setSetting(context, key, value);
    print({ kind: 'end', result: 'done', mode: null, pauseMs: null, reasons: [] });
    return;
  }
  const { kind, after, longestPauseMs, reasons, failing } = await move(context, order.request);
  const gates = failing.map(({ name, found, required }) => `${name}: ${found}; required: ${required}`);
  print({
    kind: 'end',
    result: kind,
    mode: after?.mode ?? null,
    pauseMs: longestPauseMs,
    reasons: [...reasons, ...gates],
  });
}

function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

try {
  await main(JSON.parse(process.argv[2] ?? '') as Order);
} catch (error) {
  const reasons = [error instanceof Error ? `${error.name}: ${error.message}` : String(error)];
  print({ kind: 'end', result: 'failed', mode: null, pauseMs: null, reasons });
}
process.exit();
