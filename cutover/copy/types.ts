/** What the bulk verbs take and say. Plain data, but for the stores and the callbacks. Times are milliseconds. */

import type { StoreName } from '../../db/errors.ts';
import type { MongoBulk } from '../../db/mongo/copy/client.ts';
import type { Store } from '../../db/port.ts';
import type { PostgresBulk } from '../../db/postgres/copy/client.ts';
import type { BadDocument } from '../../db/postgres/copy/findings.ts';
import type { Entity } from '../../db/records.ts';
import type { Environment } from '../environment.ts';
import type { PerStore } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';
import type { DuplicatePolicy, Rule } from './policy.ts';

/** So many findings are named at most; more are only counted. */
export const FINDINGS_MAX = 100_000;

export type { BadDocument, Quarantined } from '../../db/postgres/copy/findings.ts';

/** Both stores, as the service sees them and as a copy does. */
export interface CopyScope {
  readonly stores: PerStore<Store>;
  readonly mongo: MongoBulk;
  readonly postgres: PostgresBulk;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  /** How long expired records are kept, as the service is configured. What is past it is neither copied nor compared. */
  readonly retentionMs: number;
}

export type CopyPhase =
  | 'waiting'
  | 'copying'
  | 'checking'
  | 'merging'
  | 'undoing'
  | 'verifying'
  | 'repairing';

export interface Progress {
  readonly run: string;
  readonly phase: CopyPhase;
  readonly documents: number;
  /** An estimate; null: unknown. */
  readonly total: number | null;
  readonly perSecond: number;
  /** Null: unknown. */
  readonly leftMs: number | null;
  /** Why it does not go as fast as it could: an operator, or the service's p99 on the authority; null: it does. */
  readonly held:
    | null
    | { readonly reason: 'paused' }
    | {
        readonly reason: 'slowed' | 'over';
        readonly p99Ms: number;
        readonly boundMs: number;
        /** Documents each second, in this process. */
        readonly rate: number;
      };
}

export type Report = (progress: Progress) => void;

export interface BackfillOptions {
  /** The authority the records come from; refused when it is another store. */
  readonly from: StoreName;
  readonly onBad: 'rollback' | 'quarantine';
  /** Goes all the way up to the merge, and then throws its work away. */
  readonly dryRun?: boolean;
  /** Who of several users keeps an e-mail; null: all of them are bad. */
  readonly duplicates?: DuplicatePolicy | Rule | null;
  /** Ranges worked at once in this process. */
  readonly jobs?: number;
  /** Documents each second at most, over the setting `backfill-rate`; 0: no bound. */
  readonly rate?: number;
  readonly runId?: string;
  readonly report?: Report;
  /** Between the last check and the first write to a live table, for a snapshot. Its failure fails the run. */
  readonly beforeMerge?: () => Promise<void>;
  /** Ends the work in this process; the run can be resumed. */
  readonly signal?: AbortSignal;
}

export interface CopyCounts {
  readonly read: number;
  readonly staged: number;
  /** Past retention: not copied. */
  readonly expired: number;
  readonly bad: number;
  readonly quarantined: number;
  readonly inserted: number;
  readonly updated: number;
  /** Of what the authority does not hold any more: taken out of the mirror. */
  readonly removed: number;
  /** Left to the mirror, by the mark it had or by a touch of the authority's record. */
  readonly deferred: number;
  /** Sessions without a user anywhere: worth nothing, and not copied. */
  readonly dangling: number;
}

export interface BackfillResult {
  readonly run: string;
  readonly from: StoreName;
  readonly to: StoreName;
  /** `rolled-back`: bad data, and the live tables are as they were. */
  readonly outcome: 'complete' | 'rolled-back' | 'dry-run';
  readonly counts: CopyCounts;
  /** `user.email: white-space` and the like, with how many. */
  readonly cleaned: Readonly<Record<string, number>>;
  /** Fields that no record has, by `user.plan`, with how many documents have them. They stay in MongoDB. */
  readonly unknownFields: Readonly<Record<string, number>>;
  /** The first hundred thousand findings. */
  readonly bad: readonly BadDocument[];
  readonly tookMs: number;
}

/** Why a bulk verb did nothing, in a word and in words. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
  readonly reason:
    | 'not-authority'
    | 'schema-behind'
    | 'no-mirror'
    | 'in-transition'
    | 'instances-behind'
    | 'other-mapping'
    | 'mirror-gap'
    | 'authority-behind'
    | 'other-run'
    | 'busy'
    | 'no-run'
    | 'not-held'
    | 'unknown-state'
    | 'stopped'
    | 'overloaded';
  constructor(reason: CopyRefused['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface RecordName {
  readonly entity: Entity;
  readonly id: string;
}
