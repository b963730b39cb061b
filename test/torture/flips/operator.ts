/** The operator's side of a run: each verb in a process of its own, which ends with this one at the latest. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mode, Move } from '../../../cutover/mode.ts';
import { signal } from '../../../db/embedded/processes.ts';
import type { Supervised } from '../../../db/embedded/supervise.ts';
import { inherited } from '../../support/inherited.ts';
import { eventually } from '../../support/wait.ts';
import type { System } from '../system/system.ts';
import type { Line, Order } from './coordinator.ts';

const ENTRY = fileURLToPath(new URL('./coordinator.ts', import.meta.url));
const REACHED_TIMEOUT_MS = 120_000;

export type End = Extract<Line, { kind: 'end' }>;

export interface Coordinator {
  /** The steps it said it began, in order. */
  steps(): readonly string[];
  /** What it said at its end; null when it was killed before. */
  readonly ended: Promise<End | null>;
  /** Resolves once the step was reached at which it stops or dies; false when it ended without. */
  reached(step: string): Promise<boolean>;
  kill(name: NodeJS.Signals): void;
}

export interface Strike {
  /** `flip`: without a change of authority. */
  readonly of: 'change of authority' | 'flip';
  readonly step: string;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** A process that waits for its order: to start takes it longer than many a verb. */
interface Standby {
  readonly process: Supervised;
  readonly orderFile: string;
  readonly logFile: string;
}

let serial = 0;
/** Started while the one before it works. */
const standbys = new WeakMap<System, Promise<Standby>>();

async function startStandby({ folder, stores, supervisor }: System): Promise<Standby> {
  serial += 1;
  const path = join(folder, 'logs', `operator-${serial}`);
  const [orderFile, logFile] = [`${path}.json`, `${path}.log`];
  const started = await supervisor.start({
    command: process.execPath,
    args: [ENTRY, orderFile],
    cwd: folder,
    env: { ...inherited(), MONGO_URL: stores.mongo.url, DATABASE_URL: stores.postgres.url },
    logFile,
    stopSignals: [],
    stopTimeoutMs: 0,
  });
  return { process: started, orderFile, logFile };
}

export async function startCoordinator(system: System, order: Order): Promise<Coordinator> {
  const standby = await (standbys.get(system) ?? startStandby(system));
  const { orderFile, logFile } = standby;
  const { pid, exited } = standby.process;
  // Whole or not at all.
  writeFileSync(`${orderFile}.new`, JSON.stringify(order));
  renameSync(`${orderFile}.new`, orderFile);
  const next = startStandby(system);
  standbys.set(system, next);
  // The system may end before anybody asks for it.
  next.catch(() => {});
  let over = false;
  const lines = (): readonly Line[] => linesOf(readFileSync(logFile, 'utf8'));
  const steps = (): readonly string[] => lines().flatMap((line) => (line.kind === 'step' ? [line.step] : []));
  return {
    steps,
    ended: exited.then(() => {
      over = true;
      return lines().find((line) => line.kind === 'end') ?? null;
    }),
    reached: async (step) => {
      await eventually(() => over || steps().includes(step), { timeoutMs: REACHED_TIMEOUT_MS });
      return steps().includes(step);
    },
    kill: (name) => void (over || signal(pid, name)),
  };
}

/** A line may be half written, and node may have said something of its own. */
function linesOf(text: string): readonly Line[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return whole.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
}

export function startMove(
  system: System,
  to: Mode,
  direction: Move['direction'],
  options: { readonly strike?: Strike | null; readonly timeoutMs?: number } = {},
): Promise<Coordinator> {
  const request = {
    to,
    direction,
    force: null,
    timeoutMs: options.timeoutMs ?? 30_000,
    noForeignWriters: true,
  };
  return startCoordinator(system, { verb: 'move', request, at: options.strike ?? null });
}

/** Timing and gates for runs of minutes instead of days. What is lowered is printed by whoever runs it. */
export const RUN_SETTINGS: Readonly<Record<string, string>> = {
  'heartbeat-ms': '250',
  'poll-ms': '250',
  'lease-ms': '5000',
  'margin-ms': '500',
  'deadline-ms': '8000',
  'fence-max-ms': '4000',
  'mirror-retry-max-ms': '2000',
  'breaker-half-open-ms': '1000',
  // How fast clients are answered while other tests share the cores is no reason to stop a copy here.
  'backfill-slow-p99-ms': '0',
  'backfill-stop-p99-ms': '0',
  'gate-primary-comparisons': '20',
  'gate-only-soak-ms': '0',
};

export async function applySettings(system: System, settings = RUN_SETTINGS): Promise<void> {
  const { ended } = await startCoordinator(system, { verb: 'settings', settings });
  const end = await ended;
  if (end?.result !== 'done') throw new Error(`the settings were refused: ${end?.reasons.join('; ')}`);
}

const MOVE_TRIES = 3;

/**
 * Makes the move, or throws with the reasons. As an operator would, it tries again, since a machine may have been too
 * slow; but nothing that was refused.
 */
export async function moveTo(system: System, to: Mode, direction: Move['direction']): Promise<End> {
  for (let tries = 1; ; tries += 1) {
    const { ended } = await startMove(system, to, direction);
    const end = await ended;
    if (end?.result === 'done') return end;
    if (tries === MOVE_TRIES || end?.result === 'refused')
      throw new Error(`no move to ${to}: ${end?.result} ${end?.reasons.join('; ')}`);
  }
}
