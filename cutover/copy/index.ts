/** The bulk verbs: what the command line and the tests call. */
export { resumeBackfill, runBackfill } from './backfill.ts';
export { fingerprintFields } from './fingerprint.ts';
export { listBackfills, type RunDetails, type RunSummary, showBackfill } from './list.ts';
export { type Bulk, type BulkOptions, openBulk } from './open.ts';
export { type DuplicatePolicy, PolicyInvalid, parsePolicy } from './policy.ts';
export { listQuarantine, type Retried, resolveQuarantine, retryQuarantine } from './quarantine.ts';
export { type RepairOptions, type RepairResult, repair } from './repair.ts';
export { type RollbackOptions, type RollbackResult, rollbackBackfill } from './rollback.ts';
export type { Difference } from './settle.ts';
export {
  type BackfillOptions,
  type BackfillResult,
  type BadDocument,
  type CopyCounts,
  type CopyPhase,
  CopyRefused,
  type CopyScope,
  type Progress,
  type Quarantined,
  type RecordName,
  type Report,
} from './types.ts';
export { resumeVerify, type VerifyOptions, type VerifyResult, verify } from './verify.ts';
export { runWorker, type WorkerOptions } from './worker.ts';
