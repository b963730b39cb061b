/**
 * The last look before authority is given up, behind the fence, with no mark left in either store: what was written around
 * the fence must be the same in both. Verify looks at everything, beforehand and at leisure; this catches what a mirror that
 * has just gone wrong does to the very last writes, which nothing else would look at in time.
 *
 * Looked at: every record that was seen marked since the change was announced (200 at each look), and what PostgreSQL holds
 * that was made in the last seconds, by ids (new ones begin with their time). MongoDB is not asked for those: there are
 * servers that look through a whole collection for a range of ids. A sample of bounded size, a dozen statements side by
 * side: the fence is closed meanwhile.
 */
import { isExpired, isSameContent } from '../../db/apply.ts';
import { idAt } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import { compareStamps, ENTITIES, type Entity } from '../../db/records.ts';
import { leftBehindAmong } from '../left-behind.ts';
import type { AnyRecord } from '../shadow/reads.ts';

/** Seen marked, or known otherwise to be new, by entity. */
export type Suspects = Readonly<Record<Entity, Set<string>>>;

const MARKS_MAX = 200;
const MADE_MAX = 100;
const SUSPECTS_MAX = 500;
const MADE_WITHIN_MS = 5_000;
/** Retention never takes anything younger, so both stores hold it, or neither does. */
const RETENTION_MIN_MS = 7 * 86_400_000;

export function newSuspects(): Suspects {
  return { user: new Set(), verificationToken: new Set(), resetToken: new Set(), session: new Set() };
}

/** Notes what is marked now. */
export async function noteMarked(store: Store, suspects: Suspects): Promise<void> {
  for (const { entity, id } of await store.replica.marks({ limit: MARKS_MAX })) {
    if (suspects[entity].size < SUSPECTS_MAX) suspects[entity].add(id);
  }
}

/** What differs, as `entity/id`; empty when nothing does. `date`: the record clock. */
export async function lastCheck(
  stores: { readonly loser: Store; readonly winner: Store },
  suspects: Suspects,
  date: Date,
): Promise<readonly string[]> {
  const each = await Promise.all(ENTITIES.map((entity) => checkEntity(entity, stores, suspects, date)));
  return each.flat();
}

async function checkEntity<E extends Entity>(
  entity: E,
  { loser, winner }: { readonly loser: Store; readonly winner: Store },
  suspects: Suspects,
  date: Date,
): Promise<readonly string[]> {
  const range = { after: idAt(date.getTime() - MADE_WITHIN_MS), limit: MADE_MAX };
  const postgres = loser.name === 'postgres' ? loser : winner;
  const made = await postgres.replica.scan(entity, range);
  const ids = new Set([...suspects[entity], ...made.records.map(({ id }) => id)]);
  const all = [...ids];
  if (all.length === 0) return [];
  const [a, b] = await Promise.all([loser.replica.read(entity, all), winner.replica.read(entity, all)]);
  const expiredBefore = new Date(date.getTime() - RETENTION_MIN_MS);
  const lone: AnyRecord[] = [];
  const differing = all.filter((id) => {
    const one = a.found.get(id)?.record;
    const other = b.found.get(id)?.record;
    const known = one ?? other;
    // What nobody holds was moved aside, or purged, meanwhile.
    if (known === undefined) return a.unreadable.includes(id) || b.unreadable.includes(id);
    if (isExpired(known, expiredBefore)) return false;
    if (one !== undefined && other !== undefined) {
      return compareStamps(one.stamp, other.stamp) !== 0 || !isSameContent(one, other);
    }
    lone.push({ entity, record: known } as AnyRecord);
    return true;
  });
  const behind = await leftBehindAmong(postgres.replica, lone);
  return differing.map((id) => `${entity}/${id}`).filter((name) => !behind.has(name));
}
