/**
 * Operators, each a process of its own: they move the system up and down with the real verbs, and die or stall in the
 * middle of it. One who stalls may find, on waking, that a successor has finished or taken back what they began.
 */
import type { Mode } from '../../../cutover/mode.ts';
import { move } from '../../../cutover/operator/move.ts';
import type { MoveResult, OperatorContext } from '../../../cutover/operator/types.ts';
import type { Rules } from '../../../cutover/protocol/rules.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';

export interface OperatorOptions {
  readonly process: SimProcess;
  readonly stores: OperatorContext['stores'];
  readonly telemetry: OperatorContext['telemetry'];
  readonly random: Random;
  readonly rules?: Rules;
  readonly mode: () => Mode;
  /** How long each move is thought over, ms. */
  readonly hesitateMs: readonly [min: number, max: number];
  /** How likely each step is to be the last, or to be stalled at. */
  readonly killedAtStep: number;
  readonly stalledAtStep: number;
  /** Modes that are not entered: from there no authority change comes back without a backfill. */
  readonly avoids: readonly Mode[];
  /** Authority stays where it is. */
  readonly keepsAuthority: boolean;
  readonly onStall: (process: SimProcess) => void;
  readonly onMoved: (
    result: MoveResult | { readonly kind: 'failed'; readonly reasons: readonly string[] },
  ) => void;
  readonly onStep: (what: string, step: string) => void;
  /** Enough has been moved. */
  readonly isOver?: () => boolean;
}

const NEXT: Readonly<Record<Mode, readonly [back: Mode | null, on: Mode | null]>> = {
  'mongo-only': [null, 'dual-write'],
  'dual-write': ['mongo-only', 'shadow-read'],
  'shadow-read': ['dual-write', 'postgres-primary'],
  'postgres-primary': ['shadow-read', 'postgres-only'],
  'postgres-only': ['postgres-primary', null],
};

export async function operate(options: OperatorOptions): Promise<void> {
  const { process, stores, telemetry, random, mode, avoids, keepsAuthority, onStall, onMoved, onStep } =
    options;
  const { rules, hesitateMs, isOver = () => false } = options;
  const { environment } = process;
  const report: OperatorContext['report'] = ({ step }) => {
    onStep(`operator: ${step}`, step);
    if (random.chance(options.killedAtStep)) {
      onStep(`operator killed at ${step}`, 'killed');
      process.kill();
    } else if (random.chance(options.stalledAtStep)) {
      onStep(`operator stalled at ${step}`, 'stalled');
      process.pause();
      onStall(process);
    }
  };

  while (!isOver()) {
    await environment.sleep(random.between(...hesitateMs));
    const [back, on] = NEXT[mode()];
    const crosses = (to: Mode | null) =>
      mode() === 'shadow-read' || mode() === 'postgres-primary'
        ? to === 'postgres-primary' || to === 'shadow-read'
        : false;
    const choices = [back, on].filter(
      (to): to is Mode => to !== null && !avoids.includes(to) && !(keepsAuthority && crosses(to)),
    );
    const crossing = choices.find((to) => crosses(to));
    const to =
      crossing !== undefined && random.chance(0.75)
        ? crossing
        : choices.length > 0
          ? random.pick(choices)
          : null;
    if (to === null) continue;
    try {
      const result = await move(
        { stores, environment, telemetry, report, ...(rules && { rules }) },
        {
          to,
          direction: to === on ? 'promote' : 'rollback',
          force: null,
          timeoutMs: 6_000,
          noForeignWriters: true,
        },
      );
      onMoved(result);
    } catch (error) {
      onMoved({
        kind: 'failed',
        reasons: [error instanceof Error ? `${error.name}: ${error.message}` : String(error)],
      });
    }
  }
}
