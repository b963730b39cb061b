/** The operator's side of a run: each verb in a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Mode, Move } from '../../../cutover/mode.ts';
import { signal } from '../../../db/embedded/processes.ts';
import { inherited } from '../../support/inherited.ts';
import { eventually } from '../../support/wait.ts';
import type { System } from '../system/system.ts';
import type { Line, Order } from './coordinator.ts';

const ENTRY = fileURLToPath(new URL('./coordinator.ts', import.meta.url));

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
  readonly step: string;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

export function startCoordinator(system: System, order: Order): Coordinator {
  const child = spawn(process.execPath, [ENTRY, JSON.stringify(order)], {
    env: {
      ...inherited(),
      MONGO_URL: system.stores.mongo.url,
      DATABASE_URL: system.stores.postgres.url,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: Line[] = [];
  let rest = '';
  let over = false;
  child.stdout.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) lines.push(JSON.parse(part) as Line);
  });
  const steps = (): readonly string[] => lines.flatMap((line) => (line.kind === 'step' ? [line.step] : []));
  const ended = new Promise<End | null>((resolve) => {
    child.once('close', () => {
      over = true;
      resolve(lines.find((line) => line.kind === 'end') ?? null);
    });
  });
  return {
    steps,
    ended,
    reached: async (step) => {
      await eventually(() => over || steps().includes(step), { timeoutMs: 120_000 });
      return steps().includes(step);
    },
    kill: (name) => void signal(child.pid ?? 0, name),
  };
}

export function startMove(
  system: System,
  to: Mode,
  direction: Move['direction'],
  options: { readonly strike?: Strike | null; readonly timeoutMs?: number } = {},
): Coordinator {
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
  'gate-primary-comparisons': '20',
  'gate-only-soak-ms': '0',
};

export async function applySettings(system: System, settings = RUN_SETTINGS): Promise<void> {
  const end = await startCoordinator(system, { verb: 'settings', settings }).ended;
  if (end?.result !== 'done') throw new Error(`the settings were refused: ${end?.reasons.join('; ')}`);
}

/** Makes the move, or throws with the reasons. */
export async function moveTo(system: System, to: Mode, direction: Move['direction']): Promise<End> {
  const end = await startMove(system, to, direction).ended;
  if (end?.result !== 'done') throw new Error(`no move to ${to}: ${end?.result} ${end?.reasons.join('; ')}`);
  return end;
}
