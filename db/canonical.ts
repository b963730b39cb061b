/**
 * The one way from a stored document, legacy shapes included, to the canonical record, and back. Every reader of
 * MongoDB goes through a codec: the repository, the copy, the comparison.
 */

export type { Doc } from './bson.ts';
export { type Codec, createCodec, DEFAULT_CODEC, type QueriedField } from './canonical/codec.ts';
export { DEFAULT_MAPPING } from './canonical/default-mapping.ts';
export type { Written } from './canonical/documents.ts';
export { STORE_FIELDS } from './canonical/fields.ts';
export { type Canonical, type Finding, REASONS, type Reason } from './canonical/findings.ts';
export { type Mapping, MappingInvalid, parseMapping } from './canonical/mapping.ts';
export {
  assignments,
  at,
  type Path,
  type Placed,
  pathOf,
  withoutIndexes,
  withValues,
} from './canonical/paths.ts';
export { EPOCH_MAX, isStamped, markOf, stampOf } from './canonical/read.ts';
export { HASHED } from './canonical/token.ts';
