/** What must hold whenever the traffic has ended, whatever it was: the mirror holds what its authority holds. */
import { expect } from 'vitest';
import { compareIds } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';
import type { TestApp } from './app.ts';
import { eventually } from './wait.ts';

/** Notes of the authority that no test may leave behind, whose stores are written by the service alone. */
const TROUBLE = ['poison', 'conflict', 'foreign', 'difference'];

/** Waits until nothing is marked and every record is the same. Users that a test removed from the stores are left out. */
export async function expectStoresAlike({ app, clock, config, removed }: TestApp): Promise<void> {
  const { authority: name } = app.standing();
  const authority = app.stores.find((store) => store.name === name);
  const mirror = app.stores.find((store) => store.name !== name);
  if (authority === undefined || mirror === undefined) throw new Error('both stores are needed');
  const since = clock.now().getTime() - config.retentionMs;
  await expectAlike(authority, mirror, since, removed);
  if (removed.size > 0) return;
  const notes = await authority.books.countNotes();
  expect(Object.keys(notes).filter((kind) => TROUBLE.includes(kind))).toEqual([]);
}

/** The same of two stores that something mirrors: all but what expired before `since`, and what is of these users. */
export async function expectAlike(
  authority: Store,
  mirror: Store,
  since: number,
  removed: ReadonlySet<string> = new Set(),
): Promise<void> {
  const compare = async () => {
    expect(await authority.replica.countMarks()).toMatchObject({ count: 0 });
    for (const entity of ENTITIES) {
      const decided = await contents(authority, entity, since, removed);
      expect(await contents(mirror, entity, since, removed), entity).toEqual(decided);
    }
    expect(await mirror.replica.countMarks()).toMatchObject({ count: 0 });
  };
  // Mails may still be going out, and each is a write.
  await eventually(compare, { timeoutMs: 60_000, intervalMs: 100 });
}

/** Every record, sorted, but those past retention, which no mirror takes. */
async function contents<E extends Entity>(
  store: Store,
  entity: E,
  since: number,
  removed: ReadonlySet<string>,
): Promise<readonly RecordOf[E][]> {
  const { records, next } = await store.replica.scan(entity, { after: null, limit: 100_000 });
  if (next !== null) throw new Error('more records than one page');
  const isKept = (record: RecordOf[E]) =>
    !removed.has('userId' in record ? record.userId : record.id) &&
    !('expiresAt' in record && record.expiresAt.getTime() < since);
  return records.filter(isKept).sort((a, b) => compareIds(a.id, b.id));
}
