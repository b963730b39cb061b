/** Marks and notes, counted within a short limit. */
import { StoreUnavailable } from '../errors.ts';
import type { Assurance } from '../port.ts';
import { ENTITIES } from '../records.ts';
import { shared, within } from '../within.ts';
import type { Client, Opened } from './client.ts';
import { countNotes } from './replica/books.ts';
import { countMarked } from './replica/marks.ts';
import { assertWritable } from './server.ts';

/** `timeoutMs` is for the server's work on each question, and for all of them together. */
export function createAssurance(client: Client, timeoutMs: number): () => Promise<Assurance> {
  const ask = shared(() => client.read((opened) => askAt({ ...opened, maxTimeMS: timeoutMs })));
  return () => within(timeoutMs, ask(), () => new StoreUnavailable('mongo', 'none', 'timeout'));
}

async function askAt(opened: Opened): Promise<Assurance> {
  const [marks, notes] = await Promise.all([
    Promise.all(ENTITIES.map((entity) => countMarked(opened, entity))),
    countNotes(opened),
    assertWritable(opened.db),
  ]);
  return { marks: marks.reduce((sum, count) => sum + count, 0), notes };
}
