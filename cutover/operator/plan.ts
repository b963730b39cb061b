import { StoreUnavailable } from '../../db/errors.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { readFacts } from './facts.ts';
import { failingGates, gatesFor } from './gates.ts';
import { instancesOf, isSeen, watchInstances } from './instances.ts';
import { readStanding } from './situation.ts';
import type { Destination, OperatorContext, PlanResult } from './types.ts';
import { stepsOf, wayTo } from './way.ts';

/**
 * What `move` would do, in order, with each gate as it stands now. Never writes. `noForeignWriters`: the statement, when
 * it has been made.
 */
export async function planMove(
  context: OperatorContext,
  destination: Destination & { readonly noForeignWriters?: boolean },
): Promise<PlanResult> {
  const standing = await readStanding(context);
  const { record, authority } = standing;
  const way = wayTo(record.mode, destination);
  if (typeof way === 'string') return { kind: 'refused', reasons: [way] };
  const settings = settingsOf(record);
  const timing = timingOf(settings);
  const watching = await watchInstances(context.environment, authority, {
    watchMs: 2 * timing.heartbeatMs,
    timing,
  });
  if (!isSeen(watching)) throw new StoreUnavailable(authority.name, 'none', 'timeout');
  const instances = instancesOf(watching, record);
  const { noForeignWriters = false } = destination;
  const facts = await readFacts(context, standing, { instances, noForeignWriters });
  const moves = way.map((move) => ({
    from: move.from,
    to: move.to,
    changesAuthority: move.changesAuthority,
    gates: gatesFor(move, facts, settings),
  }));
  const to = way.at(-1)?.to ?? record.mode;
  const allowed = failingGates(moves[0]?.gates ?? [], false).length === 0;
  return { kind: 'planned', from: record.mode, to, steps: way.flatMap(stepsOf), moves, allowed };
}
