/** What a person at the command line would do: the operator's own verbs, on the stores, with every gate in force. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BackfillResult,
  openBulk,
  runBackfill,
  type VerifyResult,
  verify,
} from '../../cutover/copy/index.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import type { Mode } from '../../cutover/mode.ts';
import { move, readStatus, setSetting } from '../../cutover/operator/index.ts';
import type { MoveResult, OperatorContext, Progress, Status } from '../../cutover/operator/types.ts';
import type { SettingKey } from '../../cutover/settings.ts';
import { type Created, createSnapshot } from '../../cutover/snapshot/create.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import type { System } from '../torture/system/system.ts';

/** A move that was not made. */
export class NoMove extends Error {
  override readonly name = 'NoMove';
  /** Only one that was `aborted` may come about when it is tried again. */
  readonly kind: MoveResult['kind'];
  readonly pauseMs: number | null;

  constructor(message: string, { kind, longestPauseMs }: MoveResult) {
    super(message);
    this.kind = kind;
    this.pauseMs = longestPauseMs;
  }
}

export interface Operator {
  status(): Promise<Status>;
  set(key: SettingKey, value: string): Promise<void>;
  /** Waits until the gates of the next step are open, as somebody who watches `status` would, then takes it, or throws `NoMove`. */
  promote(to: Mode, report: (progress: Progress) => void): Promise<MoveResult>;
  /** Copies what was written before the mirror was on. */
  backfill(): Promise<BackfillResult>;
  snapshot(): Promise<Created>;
  verify(): Promise<VerifyResult>;
  close(): Promise<void>;
}

/** A laptop that does much else is slow, not broken. */
const LIMITS = { timeoutMs: 10_000, poolMax: 4 };
/** The service's default; nothing in a demonstration is that old. */
const RETENTION_MS = 30 * 86_400_000;
const GATES_TIMEOUT_MS = 60_000;
const LOOK_MS = 500;
const MOVE_TIMEOUT_MS = 60_000;

export async function openOperator({ stores: { mongo, postgres }, folder }: System): Promise<Operator> {
  const stores = {
    mongo: await openMongoStore({ url: mongo.url, emailKeyPass: false, ...LIMITS }),
    postgres: await openPostgresStore({ url: postgres.url, ...LIMITS }),
  };
  const bulk = openBulk({ mongoUrl: mongo.url, postgresUrl: postgres.url });
  const environment = systemEnvironment();
  const context: OperatorContext = { stores, environment, telemetry: SILENT, report: () => {} };
  const scope = { stores, ...bulk, environment, telemetry: SILENT, retentionMs: RETENTION_MS };

  async function awaitGates(): Promise<void> {
    const deadlineMs = performance.now() + GATES_TIMEOUT_MS;
    for (;;) {
      const { next } = await readStatus(context, { watchMs: 0 });
      const step = next.find(({ direction }) => direction === 'promote');
      // That nobody else writes is stated with the move itself.
      const shut = (step?.gates ?? []).filter(({ ok, name }) => !ok && name !== 'foreign-writers');
      if (shut.length === 0 || performance.now() > deadlineMs) return;
      await sleep(LOOK_MS);
    }
  }

  return {
    status: () => readStatus(context, { watchMs: 0 }),
    async set(key, value) {
      const { kind, reasons } = await setSetting(context, key, value);
      if (kind !== 'done') throw new Error(`${key} ${value} was refused: ${reasons.join('; ')}`);
    },
    async promote(to, report) {
      await awaitGates();
      const request = { to, direction: 'promote', force: null, noForeignWriters: true } as const;
      const result = await move({ ...context, report }, { ...request, timeoutMs: MOVE_TIMEOUT_MS });
      if (result.kind === 'done') return result;
      const gates = result.failing.map(
        ({ name, found, required }) => `${name}: ${found}, wanted: ${required}`,
      );
      throw new NoMove(
        `no move to ${to}: ${result.kind}: ${[...result.reasons, ...gates].join('; ')}`,
        result,
      );
    },
    async backfill() {
      const result = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
      if (result.outcome === 'complete') return result;
      throw new Error(`the backfill was ${result.outcome}: ${result.counts.bad} bad documents`);
    },
    snapshot() {
      const urls = { mongo: mongo.url, postgres: postgres.url };
      return createSnapshot({ ...context, urls, env: process.env }, { dir: join(folder, 'snapshots') });
    },
    verify: () => verify(scope),
    async close() {
      await Promise.allSettled([bulk.close(), stores.mongo.close(), stores.postgres.close()]);
    },
  };
}
