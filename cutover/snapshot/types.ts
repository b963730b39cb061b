/** What the verbs on snapshots take and say. Times are milliseconds. */
import { resolve } from 'node:path';
import type { StoreName } from '../../db/errors.ts';
import type { OperatorContext } from '../operator/types.ts';
import type { PerStore } from '../protocol/types.ts';

export interface SnapshotContext extends OperatorContext {
  /** Of the configured stores: a snapshot has connections of its own. */
  readonly urls: PerStore<string | null>;
  /** Where PostgreSQL's programs are looked for: `PG_BIN`, `PATH`. */
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/** Why a verb did nothing, in a word and in words. */
export class SnapshotRefused extends Error {
  override readonly name = 'SnapshotRefused';
  readonly reason:
    | 'no-snapshot'
    | 'damaged'
    | 'not-in-snapshot'
    | 'in-use'
    | 'not-empty'
    | 'no-tool'
    | 'other-version'
    | 'not-restored'
    | 'unfinished';
  readonly remedy: string;
  constructor(reason: SnapshotRefused['reason'], message: string, remedy: string) {
    super(message);
    this.reason = reason;
    this.remedy = remedy;
  }
}

/** The folder of the snapshots cannot be written: it is of another user, read-only, full, or no folder at all. */
export class FolderFailed extends Error {
  override readonly name = 'FolderFailed';
  readonly remedy: string;
  constructor(dir: string, code: string) {
    super(`the folder of the snapshots, ${resolve(dir)}, cannot be written (${code})`);
    this.remedy =
      code === 'ENOSPC' ? 'make room there, or name another with --dir' : 'name another with --dir';
  }
}

export interface SnapshotFile {
  /** Below the snapshot's folder, with slashes. */
  readonly path: string;
  readonly bytes: number;
  /** SHA-256, hex. */
  readonly sha256: string;
}

export interface SnapshotLine {
  readonly name: string;
  /** Null: its manifest cannot be read. */
  readonly createdAt: string | null;
  readonly mode: string | null;
  readonly epoch: number | null;
  readonly revision: number | null;
  readonly pending: number | null;
  readonly stores: readonly StoreName[];
  readonly bytes: number;
}

export interface SnapshotList {
  readonly dir: string;
  readonly snapshots: readonly SnapshotLine[];
  /** Folders that a snapshot left that did not end. They hold personal data too. */
  readonly unfinished: readonly string[];
}

export interface VerifyProblem {
  readonly path: string;
  readonly problem: 'missing' | 'changed' | 'unexpected' | 'unreadable';
}

export interface SnapshotVerified {
  readonly name: string;
  readonly files: number;
  readonly bytes: number;
  /** None: every byte is as it was written. */
  readonly problems: readonly VerifyProblem[];
}

export interface RestoreRequest {
  readonly dir: string;
  readonly name: string;
  readonly into: StoreName;
  readonly url: string;
  /** Drops what the database holds; `confirm` must be its name. Null: only into an empty one. */
  readonly replace: { readonly confirm: string } | null;
}

export interface Restored {
  readonly name: string;
  readonly into: StoreName;
  readonly database: string;
  /** Documents or rows; null: pg_restore does not say. */
  readonly records: number | null;
  /** Documents that could not be written with the very bytes they had. */
  readonly altered: number;
}

export interface Cleared {
  readonly store: StoreName;
  readonly snapshot: string;
  readonly mode: string;
  readonly epoch: number;
}
