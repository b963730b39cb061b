import { MODES, type Move, moveBetween } from '../../../cutover/mode.ts';

/** Every legal move, promotions first. */
export function allMoves(): readonly Move[] {
  return MODES.flatMap((from) => MODES.map((to) => moveBetween(from, to)))
    .filter((move) => move !== null)
    .sort((a, b) => a.direction.localeCompare(b.direction));
}
