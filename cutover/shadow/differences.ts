/**
 * Notes on records that were found to differ, in the authority's books, until they are found to match: which record,
 * which fields, keyed digests of the two values, never a value. Kept here until the books have taken them.
 */
import type { Entity, Stamp } from '../../db/records.ts';
import type { Books, Json } from '../../db/replica.ts';
import type { Environment } from '../environment.ts';
import { NOTES } from '../notes.ts';

/** Past as many, differences are only counted: nobody reads a thousand notes, and many have one cause. */
const NOTES_MAX = 1_000;

export interface Difference {
  readonly entity: Entity;
  readonly id: string;
  /** Digests; null: not there, or not to be read. */
  readonly fields: readonly {
    readonly field: string;
    readonly authority: string | null;
    readonly other: string | null;
  }[];
  readonly outcome: string;
  readonly stamps: { readonly authority: Stamp | null; readonly other: Stamp | null };
  readonly foundAtMs: number;
}

export interface Differences {
  /** `key` is `entity/id`, or with the operation behind it when no single record is to blame. */
  found(key: string, difference: Difference): void;
  /** Found to match. Cheap when it was not noted. */
  healed(key: string): void;
  /** Learns of notes that other instances, and earlier ones, have put. */
  refresh(books: Books): Promise<void>;
  /** Writes and deletes what is due. What fails stays due. */
  flush(books: Books): Promise<void>;
  /** Forgets everything: another store's books count now. */
  reset(): void;
}

export function createDifferences(environment: Environment): Differences {
  const noted = new Set<string>();
  const toPut = new Map<string, Difference>();
  const toDelete = new Set<string>();

  async function put(books: Books): Promise<void> {
    let count = (await books.countNotes())[NOTES.difference] ?? 0;
    for (const [key, difference] of [...toPut]) {
      if (noted.has(key) || count < NOTES_MAX) {
        await books.putNote(NOTES.difference, key, toJson(difference), environment.date());
        if (!noted.has(key)) count += 1;
        noted.add(key);
      }
      if (toPut.get(key) === difference) toPut.delete(key);
    }
  }

  return {
    found(key, difference) {
      toDelete.delete(key);
      if (toPut.has(key) || toPut.size < NOTES_MAX) toPut.set(key, difference);
    },
    healed(key) {
      toPut.delete(key);
      if (noted.has(key)) toDelete.add(key);
    },
    async refresh(books) {
      for (const { key } of await books.notes(NOTES.difference, { limit: NOTES_MAX })) noted.add(key);
    },
    async flush(books) {
      for (const key of [...toDelete]) {
        await books.deleteNote(NOTES.difference, key);
        noted.delete(key);
        toDelete.delete(key);
      }
      if (toPut.size > 0) await put(books);
    },
    reset() {
      noted.clear();
      toPut.clear();
      toDelete.clear();
    },
  };
}

function toJson({ fields, stamps, ...rest }: Difference): Json {
  const stamp = (given: Stamp | null) => given && { epoch: given.epoch, version: given.version };
  return {
    ...rest,
    fields: fields.map((field) => ({ ...field })),
    stamps: { authority: stamp(stamps.authority), other: stamp(stamps.other) },
  };
}
