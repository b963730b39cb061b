/** The notes on records that could not be mirrored: put by whoever found out, taken back once it is no longer so. */
import { ENTITIES, type Entity, type Stamp } from '../../db/records.ts';
import { NOTES } from '../notes.ts';
import type { Pass } from './pass.ts';
import { keyOf } from './queue.ts';

const READ_MAX = 100;

/** Names a record that the mirror refuses. */
export async function notePoison(
  pass: Pass,
  entity: Entity,
  id: string,
  { reason, stamp }: { readonly reason: string; readonly stamp: Stamp | null },
): Promise<void> {
  const body = { reason, stamp: stamp === null ? null : { ...stamp } };
  await pass.authority.books.putNote(NOTES.poison, keyOf(entity, id), body, pass.environment.date());
}

/** Takes back the notes on records that are not marked any more, whoever mirrored them; how many there were at most. */
export async function tidyNotes(pass: Pass, limit: number): Promise<number> {
  let count = 0;
  for (const kind of [NOTES.poison, NOTES.conflict]) {
    const notes = await pass.authority.books.notes(kind, { limit });
    count += notes.length;
    for (const entity of ENTITIES) {
      const ids = notes.flatMap(({ key }) =>
        key.startsWith(`${entity}/`) ? [key.slice(entity.length + 1)] : [],
      );
      for (let from = 0; from < ids.length; from += READ_MAX) {
        const some = ids.slice(from, from + READ_MAX);
        const { found, unreadable } = await pass.authority.replica.read(entity, some);
        const settled = some.filter(
          (id) => (found.get(id)?.pendingAt ?? null) === null && !unreadable.includes(id),
        );
        for (const id of settled) {
          pass.assertMayContinue();
          await pass.authority.books.deleteNote(kind, keyOf(entity, id));
        }
      }
    }
  }
  return count;
}
