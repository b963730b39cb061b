/** The bulk verbs: what the command line and the tests call. */
export { resumeBackfill, runBackfill } from './backfill.ts';
export { type Bulk, type BulkOptions, openBulk } from './open.ts';
export { type RollbackOptions, type RollbackResult, rollbackBackfill } from './rollback.ts';
export {
  type BackfillOptions,
  type BackfillResult,
  type BadDocument,
  type CopyCounts,
  type CopyPhase,
  CopyRefused,
  type CopyScope,
  type DuplicatePolicy,
  type Progress,
  type Quarantined,
  type Report,
} from './types.ts';
