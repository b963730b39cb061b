/** Paths into documents, taken apart once: `local.email`, `emails.0.address`. Pure. */
import { type Doc, isDoc } from '../bson.ts';

export interface Path {
  /** As MongoDB writes it, with dots. */
  readonly text: string;
  readonly steps: readonly string[];
  readonly top: string;
}

export function pathOf(text: string): Path {
  const steps = text.split('.');
  return { text, steps, top: steps[0] ?? text };
}

/** The value at a path, own properties only; undefined when it is not there. */
export function at(doc: Doc, { steps, top }: Path): unknown {
  if (steps.length === 1) return Object.hasOwn(doc, top) ? doc[top] : undefined;
  let value: unknown = doc;
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Doc)[step];
  }
  return value;
}

export interface Placed {
  readonly path: Path;
  readonly value: unknown;
}

/** The document with these values in place: documents and arrays on the way are copied, or made. */
export function withValues(doc: Doc, values: readonly Placed[]): Doc {
  return values.reduce<Doc>((done, { path, value }) => placed(done, path.steps, value) as Doc, doc);
}

function placed(target: unknown, [step, ...rest]: readonly string[], value: unknown): unknown {
  if (step === undefined) return value;
  if (isIndex(step) && (Array.isArray(target) || !isDoc(target))) {
    const items: unknown[] = Array.isArray(target) ? [...target] : [];
    const index = Number(step);
    // MongoDB fills such gaps with null, too.
    while (items.length < index) items.push(null);
    items[index] = placed(items[index], rest, value);
    return items;
  }
  const base = isDoc(target) ? target : {};
  return { ...base, [step]: placed(Object.hasOwn(base, step) ? base[step] : undefined, rest, value) };
}

/**
 * What `$set` has to name so that the document holds these values. Where a document on the way is missing, all of it is
 * set at once: MongoDB would make an object of what is to be an array, and refuses to go through null.
 */
export function assignments(doc: Doc, values: readonly Placed[]): Record<string, unknown> {
  const after = withValues(doc, values);
  const set: Record<string, unknown> = {};
  for (const { path } of values) {
    const reach = pathOf(path.steps.slice(0, reachOf(doc, path.steps)).join('.'));
    set[reach.text] = at(after, reach);
  }
  return set;
}

/** How many steps of the path lead through what is there, the last one to be set included. */
function reachOf(doc: Doc, steps: readonly string[]): number {
  let value: unknown = doc;
  for (const [place, step] of steps.entries()) {
    const isPassable = isDoc(value) || (Array.isArray(value) && isIndex(step));
    if (!isPassable) return place;
    value = Object.hasOwn(value as object, step) ? (value as Doc)[step] : undefined;
  }
  return steps.length;
}

const isIndex = (step: string): boolean => /^\d{1,3}$/.test(step);

/** As an index of MongoDB names it, which goes into every element of an array. */
export const withoutIndexes = (path: string): string =>
  path
    .split('.')
    .filter((step) => !isIndex(step))
    .join('.');
