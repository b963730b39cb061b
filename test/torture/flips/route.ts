/** Where a walk goes next: the whole ladder up and down, more often across the change of authority than elsewhere. */
import {
  authorityOf,
  type CopyState,
  MODES,
  type Mode,
  mirrorOf,
  moveBetween,
} from '../../../cutover/mode.ts';
import type { StoreName } from '../../../db/errors.ts';
import { allMoves } from '../../cutover/support/moves.ts';
import type { Random } from '../random.ts';

export type Action =
  | { readonly kind: 'move'; readonly to: Mode }
  | { readonly kind: 'backfill'; readonly from: StoreName }
  | { readonly kind: 'verify' }
  | { readonly kind: 'snapshot' };

export interface Route {
  /** Where it is heading from that mode; the same until it has got there. */
  target(from: Mode): Mode;
}

/** From end to end and back, for ever; in the middle of each way so many more changes of authority, drawn anew. */
export function createRoute(random: Random, extra: { readonly min: number; readonly max: number }): Route {
  const targets: Mode[] = [];
  function* way(): Generator<Mode> {
    for (;;) {
      for (const [end, far, near] of WAYS) {
        yield far;
        for (let more = random.int(extra.min, extra.max); more > 0; more -= 1) {
          yield near;
          yield far;
        }
        yield end;
      }
    }
  }
  const ways = way();
  return {
    target(from) {
      while (targets.length === 0 || targets[0] === from) {
        targets.shift();
        targets.push(ways.next().value as Mode);
      }
      return targets[0] ?? from;
    },
  };
}

const WAYS = [
  ['postgres-only', 'postgres-primary', 'shadow-read'],
  ['mongo-only', 'shadow-read', 'postgres-primary'],
] as const satisfies readonly (readonly [Mode, Mode, Mode])[];

/** What is known of the system, and what was looked at since it was last copied. */
export interface Standing {
  readonly mode: Mode;
  readonly copy: CopyState;
  readonly verified: boolean;
  readonly snapshot: boolean;
}

/** What an operator would do to get there: the next rung, or what its gates ask for. */
export function nextAction({ mode, copy, verified, snapshot }: Standing, target: Mode): Action {
  const up = MODES.indexOf(target) > MODES.indexOf(mode);
  const to = MODES[MODES.indexOf(mode) + (up ? 1 : -1)] ?? target;
  const move = moveBetween(mode, to);
  const lacksCopy = move?.needsCompleteCopy === true && copy.kind !== 'complete';
  // Down from shadow-read nothing is asked for; whoever goes up copies in dual-write already.
  if (lacksCopy && mirrorOf(mode) !== null && (up || move.changesAuthority)) {
    return { kind: 'backfill', from: authorityOf(mode) };
  }
  if (move?.changesAuthority === true && !verified) return { kind: 'verify' };
  if (move?.changesAuthority === true && !snapshot) return { kind: 'snapshot' };
  return { kind: 'move', to };
}

/** Every rung in both directions, and a copy in both. */
export const WHOLE_LADDER: readonly string[] = [
  ...allMoves().map(({ from, to }) => `${from} → ${to}`),
  'backfill from mongo',
  'backfill from postgres',
  'verify',
  'snapshot',
];
