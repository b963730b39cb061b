/** The verbs on snapshots: what the command line, the bulk copy and the tests call. */
export { clearRestored } from './clear.ts';
export { type Created, createSnapshot } from './create.ts';
export type { Manifest } from './manifest.ts';
export { listSnapshots, readManifest, verifySnapshot } from './read.ts';
export { restoreSnapshot } from './restore.ts';
export {
  type Cleared,
  type Restored,
  type RestoreRequest,
  type SnapshotContext,
  type SnapshotLine,
  type SnapshotList,
  SnapshotRefused,
  type SnapshotVerified,
} from './types.ts';
