/**
 * The first question of a batch: what does the other store answer? Each read is made there as it was made of the authority,
 * but reads by id, of which a busy service makes most, are put together: their answers are the records with those ids and
 * nothing more. One of each kind still goes through the port, so that its own statement is compared as well.
 */
import type { Traffic } from '../traffic.ts';
import type { Item } from './item.ts';
import { readAll } from './look.ts';
import type { Pair } from './pair.ts';
import type { AnyRecord, Parts } from './reads.ts';
import { type RecordName, union } from './records.ts';
import { isHeld, type Seen } from './verdict.ts';

export type Asked = { readonly item: Item } & ({ readonly answered: Parts } | { readonly error: unknown });

/** How long each statement waits for a moment without clients. */
export const LULL_MAX_MS = 10;

/** What came of each, in any order. Never throws. */
export async function askOther(
  pair: Pair,
  items: readonly Item[],
  traffic: Pick<Traffic, 'lull'>,
): Promise<readonly Asked[]> {
  const asked: Asked[] = [];
  const seen = new Set<Item['operation']>();
  const together: { readonly item: Item; readonly names: readonly RecordName[] }[] = [];
  for (const item of items) {
    const names = item.byId();
    if (names !== null && seen.has(item.operation)) {
      together.push({ item, names });
      continue;
    }
    seen.add(item.operation);
    await traffic.lull(LULL_MAX_MS);
    asked.push(await attempt(item, () => pair.askOther(item.read)));
  }
  if (together.length === 0) return asked;
  await traffic.lull(LULL_MAX_MS);
  const names = union(...together.map((each) => each.names));
  const reading = pair.sides.other((replica) => readAll(replica, names));
  for (const each of together) {
    asked.push(await attempt(each.item, async () => answerOf(each.names, await reading)));
  }
  return asked;
}

async function attempt(item: Item, ask: () => Promise<Parts>): Promise<Asked> {
  try {
    return { item, answered: await ask() };
  } catch (error) {
    return { item, error };
  }
}

/** What a read by id makes of these records: without the one it asked for, nothing. */
function answerOf(names: readonly RecordName[], seen: (name: RecordName) => Seen): Parts {
  const [first] = names;
  if (first === undefined || !isHeld(seen(first))) return { records: [], said: 'nothing' };
  const records = names.flatMap((name) => {
    const held = seen(name);
    // A record is read under its own entity.
    return isHeld(held) ? [{ entity: name.entity, record: held.record } as AnyRecord] : [];
  });
  return { records, said: '' };
}
