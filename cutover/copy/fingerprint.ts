/** A canonical record as the text that PostgreSQL makes of the same row, and hashes of many. Pure. */
import { hash } from 'node:crypto';
import { type Digest, FINGERPRINT } from '../../db/postgres/copy/fingerprint.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';

/** As `json_build_array(…)::text` prints it. */
export function textOf<E extends Entity>(entity: E, record: RecordOf[E]): string {
  const fields = record as unknown as Readonly<Record<string, unknown>>;
  const { epoch, version } = record.stamp;
  let text = '[';
  for (const field of UNSTAMPED[entity]) text += `${print(fields[field])}, `;
  return `${text}${epoch}, ${version}]`;
}

/** The fields before the stamp, which stands at the end of each. */
const UNSTAMPED = Object.fromEntries(
  ENTITIES.map((entity) => [entity, FINGERPRINT[entity].map(([field]) => field).slice(0, -2)]),
) as unknown as Readonly<Record<Entity, readonly string[]>>;

/** Nothing that JSON escapes: most of what there is, and many times faster. */
const PLAIN = /^[ !#-[\]-~]*$/;

function print(value: unknown): string {
  if (typeof value === 'string') return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return value instanceof Date ? `"${value.getTime()}"` : 'null';
}

/** As PostgreSQL makes it of the same rows. */
export const digestOf = (texts: readonly string[]): Digest => ({
  count: texts.length,
  md5: hash('md5', texts.join('')),
});

/** Whether a share of all records, picked by id, has this one in it. PostgreSQL picks the same. */
export function isSampled(id: string, share: number): boolean {
  return share >= 1 || hash('md5', id, 'buffer').readUInt32BE(0) < share * 4_294_967_296;
}

/** Names of the fields in which two texts differ. */
export function differingFields(entity: Entity, a: string, b: string): readonly string[] {
  const [x, y] = [a, b].map((text) => JSON.parse(text) as readonly unknown[]);
  return FINGERPRINT[entity].map(([field]) => field).filter((_, i) => x?.[i] !== y?.[i]);
}

/** When the record of a text expires; null: never. */
export function expiryIn(entity: Entity, text: string): number | null {
  const place = FINGERPRINT[entity].findIndex(([field]) => field === 'expiresAt');
  return place < 0 ? null : Number((JSON.parse(text) as readonly unknown[])[place]);
}

/** Whose the record of a text is; null: it is no one else's. */
export function ownerIn(entity: Entity, text: string): string | null {
  const place = FINGERPRINT[entity].findIndex(([field]) => field === 'userId');
  return place < 0 ? null : String((JSON.parse(text) as readonly unknown[])[place]);
}

/** Every field that is compared. */
export const fingerprintFields = (entity: Entity): readonly string[] =>
  FINGERPRINT[entity].map(([field]) => field);
