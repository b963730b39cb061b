/** Which fields of a document no record takes up. Pure. */
import { type Doc, isDoc } from '../bson.ts';
import type { Entity } from '../records.ts';
import { STORE_FIELDS } from './fields.ts';
import type { Path } from './paths.ts';

/** What is known below a field; null: all of it. */
type Known = Map<string, Known | null>;

/** Steps to a field; `*` for elements of an array. */
type Steps = readonly string[];

export interface Unknown {
  readonly tops: Readonly<Record<Entity, ReadonlySet<string>>>;
  list(entity: Entity, doc: Doc): readonly Steps[];
}

const NOTHING: readonly Steps[] = [];

export function unknownFieldsOf(places: Readonly<Record<Entity, readonly (readonly Path[])[]>>): Unknown {
  const trees = forEach((entity) => treeOf(places[entity].flat()));
  const tops = forEach((entity) => new Set(trees[entity].keys()));
  return {
    tops,
    list(entity, doc) {
      const known = trees[entity];
      // Mostly there is nothing to say: no list is made for that.
      let found: Steps[] | null = null;
      for (const field of Object.keys(doc)) {
        const below = known.get(field);
        if (below === null) continue;
        found ??= [];
        if (below === undefined) found.push([field]);
        else collect(doc[field], below, [field], found);
      }
      return found ?? NOTHING;
    },
  };
}

const forEach = <T>(make: (entity: Entity) => T): Readonly<Record<Entity, T>> => ({
  user: make('user'),
  verificationToken: make('verificationToken'),
  resetToken: make('resetToken'),
  session: make('session'),
});

function treeOf(paths: readonly Path[]): Known {
  const tree: Known = new Map(
    [...['_id', '__v'], ...Object.values(STORE_FIELDS)].map((name) => [name, null]),
  );
  for (const { steps } of paths) {
    let level = tree;
    for (const [place, step] of steps.entries()) {
      if (level.get(step) === null && level.has(step)) break;
      if (place === steps.length - 1) {
        level.set(step, null);
        break;
      }
      const next: Known = level.get(step) ?? new Map();
      level.set(step, next);
      level = next;
    }
  }
  return tree;
}

function collect(value: unknown, known: Known, at: Steps, found: Steps[]): void {
  if (Array.isArray(value)) {
    let isMore = false;
    value.forEach((item, place) => {
      const below = known.get(String(place));
      if (below === undefined) isMore = true;
      else if (below !== null) collect(item, below, [...at, String(place)], found);
    });
    if (isMore) found.push([...at, '*']);
    return;
  }
  if (!isDoc(value)) return;
  for (const field of Object.keys(value)) {
    const below = known.get(field);
    if (below === undefined) found.push([...at, field]);
    else if (below !== null) collect(value[field], below, [...at, field], found);
  }
}
