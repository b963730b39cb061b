/**
 * The BSON type of a value as the driver gives it: the class behind `_bsontype`; undefined for plain values.
 * A document may hold a field of that name, so only what the prototype says counts.
 */
export function bsonType(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Object.hasOwn(value, '_bsontype')) return undefined;
  const type: unknown = (value as { readonly _bsontype?: unknown })._bsontype;
  return typeof type === 'string' ? type : undefined;
}

/** A document as the driver gives it. */
export type Doc = Readonly<Record<string, unknown>>;

export function isDoc(value: unknown): value is Doc {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(value instanceof Date) && !ArrayBuffer.isView(value) && bsonType(value) === undefined;
}
