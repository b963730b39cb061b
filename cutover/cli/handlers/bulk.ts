/** What the verbs on the copy work with: both stores, and connections of their own. */
import type { Entity } from '../../../db/records.ts';
import type { CopyScope } from '../../copy/types.ts';
import { CopyRefused } from '../../copy/types.ts';
import { VARIABLES } from '../../words.ts';
import { ConfigurationProblem, failureOf, Interrupted } from '../failures.ts';
import { UsageError } from '../parse.ts';
import type { VerbName } from '../verbs.ts';
import type { Call } from './call.ts';
import { logRefused } from './refused.ts';

const JOBS = 2;
const JOBS_MAX = 64;
/** How long closing may take: a frozen server must not keep the terminal. */
const CLOSE_MS = 2_000;

/** Loaded only for these verbs: the drivers take most of a second. */
export type Copy = typeof import('../../copy/index.ts');

export interface Bulk {
  readonly copy: Copy;
  readonly scope: CopyScope;
  /** What MongoDB calls it, and PostgreSQL too. */
  readonly collectionOf: (entity: Entity) => string;
}

/** Ranges worked at once in this process. */
export function jobsOf({ options, verb }: Call): number {
  const jobs = options.whole('jobs', JOBS);
  if (jobs > JOBS_MAX) throw new UsageError(`--jobs must be at most ${JOBS_MAX}`, verb);
  return jobs;
}

/** They show, and no more. */
const LISTS: readonly VerbName[] = ['backfill list', 'backfill show', 'quarantine list'];
/** What was typed names nothing: their words would bring it into the log. */
const UNNAMED: readonly CopyRefused['reason'][] = ['no-run', 'not-held'];

/** Runs `work` on both stores; what ends because it was interrupted says so, and what was refused is in the log. */
export async function withBulk<T>(call: Call, work: (bulk: Bulk) => Promise<T>): Promise<T> {
  const { context, urls, retentionMs, interrupted } = call;
  const { mongo, postgres } = context.stores;
  if (mongo === null || postgres === null || urls.mongo === null || urls.postgres === null) {
    const missing = mongo === null || urls.mongo === null ? VARIABLES.mongo : VARIABLES.postgres;
    throw new ConfigurationProblem([`${missing}: is missing; this verb needs both stores`]);
  }
  const copy = await import('../../copy/index.ts');
  const { toStoreError } = await import('../../../db/mongo/errors.ts');
  const { environment, telemetry, codec } = context;
  const bulk = copy.openBulk({
    mongoUrl: urls.mongo,
    postgresUrl: urls.postgres,
    jobs: jobsOf(call),
    ...(codec && { codec }),
  });
  const scope: CopyScope = {
    stores: { mongo, postgres },
    mongo: bulk.mongo,
    postgres: bulk.postgres,
    environment,
    telemetry,
    retentionMs,
  };
  try {
    // A unique index that was lost is for the gates: these verbs find, and mend, what keeps it from being made again.
    if (!(await postgres.isMigrated('tables'))) {
      throw new CopyRefused('schema-behind', 'the schema of PostgreSQL is not that of this program');
    }
    return await work({ copy, scope, collectionOf: (entity) => bulk.mongo.codec.collections[entity] });
  } catch (error) {
    if (interrupted.aborted && !isStopped(error))
      throw new Interrupted('look at `cutover status` and `cutover backfill list`, then run it again');
    const isRefused = error instanceof CopyRefused && failureOf(error).outcome === 'refused';
    if (isRefused && !LISTS.includes(call.verb))
      await logRefused(call, UNNAMED.includes(error.reason) ? error.reason : error.message);
    throw toStoreError(error, 'read');
  } finally {
    await Promise.race([bulk.close().catch(() => {}), environment.sleep(CLOSE_MS)]);
  }
}

/** Its message names the run to go on with. */
const isStopped = (error: unknown): boolean => error instanceof CopyRefused && error.reason === 'stopped';
