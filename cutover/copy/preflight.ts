/** Whether a copy could go well, before anything is done: nothing is written anywhere. */
import { StoreUnavailable } from '../../db/errors.ts';
import { cutRanges } from '../../db/mongo/copy/ranges.ts';
import { scanRange } from '../../db/mongo/copy/scan.ts';
import { inspectPostgres } from '../../db/postgres/copy/inspect.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Gate } from '../operator/types.ts';
import { classify, countsOf, createCounts } from './classify.ts';
import type { CopyScope } from './types.ts';

const SAMPLE = 2_000;
const BATCH = 500;
const CONNECTIONS = 8;

export interface PreflightResult {
  readonly ok: boolean;
  readonly checks: readonly Gate[];
  readonly documents: Readonly<Record<Entity, number>>;
  /** Of documents from each part of the collections. */
  readonly sample: {
    readonly read: number;
    readonly bad: Readonly<Record<string, number>>;
    readonly cleaned: Readonly<Record<string, number>>;
    readonly unknownFields: Readonly<Record<string, number>>;
  };
  /** Roughly: the sample's rate, for all documents. */
  readonly estimatedMs: number;
}

export async function preflight(scope: CopyScope): Promise<PreflightResult> {
  const checks: Gate[] = [];
  const check = (name: string, ok: boolean, found: string, required: string, remedy: string): void => {
    checks.push({ name, ok, found, required, remedy, kind: 'safety' });
  };
  for (const store of [scope.stores.mongo, scope.stores.postgres]) {
    const server = await store.describe().catch((error: unknown) => unreachable(error));
    check(
      `${store.name} reachable`,
      server !== null,
      server ?? 'no answer',
      'an answer',
      'check its URL and network',
    );
    const problems = server === null ? [] : await store.durabilityProblems();
    check(
      `${store.name} durable`,
      problems.length === 0,
      problems.join('; ') || 'nothing to report',
      'every acknowledged write survives a crash',
      'change the settings named',
    );
  }
  await checkPostgres(scope, check);
  const documents = Object.fromEntries(
    await Promise.all(
      ENTITIES.map(
        async (entity) => [entity, await scope.mongo.collection(entity).estimatedDocumentCount()] as const,
      ),
    ),
  ) as Record<Entity, number>;
  await checkTtl(scope, check);
  const sampled = await takeSample(scope);
  const total = Object.values(documents).reduce((sum, count) => sum + count, 0);
  const bad = Object.values(sampled.bad).reduce((sum, count) => sum + count, 0);
  check(
    'documents',
    bad === 0,
    `${bad} flaws in ${sampled.read} documents looked at`,
    'none',
    'mend them, or use --on-bad quarantine',
  );
  return {
    ok: checks.every(({ ok }) => ok),
    checks,
    documents,
    sample: {
      read: sampled.read,
      bad: sampled.bad,
      cleaned: sampled.cleaned,
      unknownFields: sampled.unknownFields,
    },
    estimatedMs: sampled.read === 0 ? 0 : Math.round((sampled.tookMs / sampled.read) * total),
  };
}

function unreachable(error: unknown): null {
  if (error instanceof StoreUnavailable) return null;
  throw error;
}

type Check = (name: string, ok: boolean, found: string, required: string, remedy: string) => void;

async function checkPostgres({ postgres, stores }: CopyScope, check: Check): Promise<void> {
  const migrated = await stores.postgres.isMigrated();
  check('schema', migrated, migrated ? 'current' : 'behind', 'current', 'npm run migrate');
  if (!migrated) return;
  const facts = await inspectPostgres(postgres);
  check(
    'rows',
    facts.mayWrite,
    yes(facts.mayWrite),
    'may read and write the tables',
    'grant the role what db/postgres/roles.sql gives auth_backfill',
  );
  check(
    'staging',
    facts.mayStage,
    yes(facts.mayStage),
    'may make tables in the schema staging',
    'run db/postgres/roles.sql, or use the role auth_backfill',
  );
  check(
    'statistics',
    facts.mayAnalyze,
    yes(facts.mayAnalyze),
    'may analyse the tables',
    'grant maintain on the tables, or analyse them by hand after the copy',
  );
  check(
    'connections',
    facts.freeConnections >= CONNECTIONS,
    `${facts.freeConnections} free`,
    `${CONNECTIONS} or more`,
    'raise max_connections, or lower the pools of the service',
  );
}

const yes = (may: boolean): string => (may ? 'it may' : 'it may not');

/** An index that deletes by itself knows nothing of stamps and of retention. */
async function checkTtl({ mongo }: CopyScope, check: Check): Promise<void> {
  const found: string[] = [];
  for (const entity of ENTITIES) {
    const indexes = await mongo
      .collection(entity)
      .listIndexes()
      .toArray()
      .catch(() => []);
    for (const index of indexes)
      if (index['expireAfterSeconds'] !== undefined) found.push(`${entity}.${index.name}`);
  }
  check(
    'TTL indexes',
    found.length === 0,
    found.join(', ') || 'none',
    'none',
    'npm run migrate turns them into plain ones',
  );
}

async function takeSample(scope: CopyScope) {
  const counts = createCounts();
  const expiredBefore = new Date(scope.environment.date().getTime() - scope.retentionMs);
  const startedMs = scope.environment.now().monotonicMs;
  let read = 0;
  for (const entity of ENTITIES) {
    const ranges = await cutRanges(scope.mongo, entity, SAMPLE / BATCH);
    for (const range of ranges) {
      for await (const { documents } of scanRange(scope.mongo, entity, range, { batchMax: BATCH })) {
        for (const { doc } of documents) {
          const result = classify(entity, doc, expiredBefore, counts);
          if (result.kind !== 'bad') continue;
          for (const { field, reason } of result.flaws) counts.addName(`bad:${entity}.${field}: ${reason}`);
        }
        read += documents.length;
        break;
      }
    }
  }
  const all = counts.toJson();
  return {
    read,
    tookMs: scope.environment.now().monotonicMs - startedMs,
    bad: countsOf(all, 'bad:'),
    cleaned: countsOf(all, 'clean:'),
    unknownFields: countsOf(all, 'unknown:'),
  };
}
