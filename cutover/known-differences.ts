/** The setting `shadow-ignore`: differences that comparisons count as ignored, each for a reason and until a day. */
import { FINGERPRINT } from '../db/postgres/copy/fingerprint.ts';
import { ENTITIES, type Entity } from '../db/records.ts';

/** A difference between the stores that is known and expected until a day. */
export interface KnownDifference {
  readonly entity: string;
  readonly field: string;
  readonly reason: string;
  /** The last day it counts, YYYY-MM-DD. */
  readonly until: string;
}

const WORDS = ['entity', 'field', 'reason', 'until'] as const;
/** What else a comparison names: see `Verdict`. */
const WHOLE = ['stamp', 'record', 'document', 'answer'];

/** The entries of the setting; none when it cannot be read. */
export function allowListOf(value: string): readonly KnownDifference[] {
  return problemOfAllowList(value) === null ? (JSON.parse(value) as KnownDifference[]) : [];
}

/** A 31st of February would count as another day. */
function isDay(text: string): boolean {
  const time = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** What is wrong with a list, wherever it stands; null: nothing. */
export function problemOfAllowList(value: string): string | null {
  let list: unknown;
  try {
    list = JSON.parse(value);
  } catch {
    return 'must be JSON';
  }
  if (!Array.isArray(list)) return 'must be a JSON list';
  for (const entry of list as unknown[]) {
    const fields = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
    const missing = WORDS.find((word) => typeof fields[word] !== 'string' || fields[word] === '');
    if (missing !== undefined) return `has an entry without ${missing}`;
    if (!ENTITIES.some((entity) => entity === fields['entity']))
      return `has an entry whose entity is none of ${ENTITIES.join(', ')}`;
    if (!isDay(String(fields['until']))) return 'has an entry whose until is no day such as 2027-01-31';
  }
  return null;
}

/** What else is wrong with one that an operator sets now: entries that would ignore nothing, or say nothing. */
export function problemOfNewAllowList(value: string, today: Date): string | null {
  const day = today.toISOString().slice(0, 10);
  for (const entry of allowListOf(value)) {
    const stranger = Object.keys(entry).find((key) => !WORDS.some((word) => word === key));
    if (stranger !== undefined) return `has an entry with ${stranger}, which is none of ${WORDS.join(', ')}`;
    const fields = fieldsOf(entry.entity as Entity);
    if (!fields.includes(entry.field))
      return `has an entry whose field is none of ${entry.entity}: ${fields.join(', ')}`;
    if (entry.reason.trim() === '') return 'has an entry without reason';
    if (entry.until < day) return `has an entry whose until is over: ${entry.until}`;
  }
  return null;
}

const fieldsOf = (entity: Entity): readonly string[] => [
  ...FINGERPRINT[entity].map(([field]) => field).filter((field) => field !== 'epoch' && field !== 'version'),
  ...WHOLE,
];
