/** `cutover preflight`: looks at both stores and every kind of document before anything is moved. Only reads. */
import { type Codec, DEFAULT_CODEC } from '../../db/canonical.ts';
import { connectMongo } from '../../db/mongo/snapshot/client.ts';
import { inspectMongo } from '../../db/mongo/snapshot/inspect.ts';
import { connectPostgres } from '../../db/postgres/snapshot/client.ts';
import { inspectPostgres } from '../../db/postgres/snapshot/inspect.ts';
import { findTools } from '../../db/postgres/snapshot/tools.ts';
import { staysBehind } from '../copy/originals.ts';
import { attempt } from '../operator/situation.ts';
import { judgeDocuments, judgeMongo, judgePostgres } from './checks.ts';
import { classifyDocuments, type FindLeftBehind } from './documents.ts';
import type { Check, Documents, Preflight, PreflightContext, PreflightOptions } from './types.ts';

/** Of fewer, the time says more about the machine than about the documents. */
const MEASURED_MIN = 100;

/** Of the stores that are configured. Throws `StoreUnavailable`. */
export async function preflight(context: PreflightContext, options: PreflightOptions): Promise<Preflight> {
  const { now } = context.environment;
  const startedMs = now().monotonicMs;
  const tell = (step: string, message: string) =>
    context.report({ step, message, elapsedMs: now().monotonicMs - startedMs });
  tell('mongo', 'looking at MongoDB');
  const mongo = await lookAtMongo(context, options, tell);
  tell('postgres', 'looking at PostgreSQL');
  const postgres = await lookAtPostgres(context, options, mongo.dataBytes);
  const checks = [...mongo.checks, ...postgres];
  return {
    checks,
    documents: mongo.documents,
    estimate: mongo.estimate,
    blocking: checks.filter(({ level }) => level === 'block').length,
  };
}

interface Looked extends Pick<Preflight, 'checks' | 'documents' | 'estimate'> {
  readonly dataBytes: number | null;
}

const NOT_CONFIGURED = { level: 'warn', found: 'not configured' } as const;

async function lookAtMongo(
  { stores, urls, environment, poolMax, retentionMs, signal, codec = DEFAULT_CODEC }: PreflightContext,
  { instances, sample, policy = null }: PreflightOptions,
  tell: (step: string, message: string) => void,
): Promise<Looked> {
  const store = stores.mongo;
  if (urls.mongo === null || store === null) {
    const check: Check = { ...NOT_CONFIGURED, name: 'configured', store: 'mongo', remedy: 'set MONGO_URL' };
    const estimate = { documents: 0, perSecond: null, durationMs: null, copyMs: null };
    return { checks: [check], documents: [], estimate, dataBytes: null };
  }
  const session = await connectMongo(urls.mongo, signal);
  const decisions = await openDecisions(urls.postgres, codec, signal);
  try {
    const facts = await inspectMongo(session, codec);
    const migrated = await attempt(() => store.isMigrated());
    tell('documents', sample === null ? 'reading every document' : 'reading a sample of the documents');
    const startedMs = environment.now().monotonicMs;
    const expiredBefore = new Date(environment.date().getTime() - retentionMs);
    const dry = await classifyDocuments(session, {
      codec,
      policy,
      sample,
      expiredBefore,
      findLeftBehind: decisions.find,
      ...(signal && { signal }),
    });
    const tookMs = environment.now().monotonicMs - startedMs;
    return {
      checks: [
        ...judgeMongo(facts, { instances, poolMax: poolMax.mongo, migrated }),
        ...judgeDocuments(dry.documents, sample !== null, facts.collections),
      ],
      documents: dry.documents,
      estimate: estimateOf(dry.documents, dry.read, tookMs),
      dataBytes: facts.dataBytes,
    };
  } finally {
    await session.close();
    await decisions.close();
  }
}

/** What operators have decided about documents, as far as PostgreSQL can be asked. */
async function openDecisions(
  url: string | null,
  codec: Codec,
  signal?: AbortSignal,
): Promise<{ readonly find: FindLeftBehind; close(): Promise<void> }> {
  const client = url === null ? null : await attempt(() => connectPostgres(url, signal));
  const none: ReadonlySet<string> = new Set();
  return {
    find: async (entity, raws) => {
      if (client === null) return none;
      return (await attempt(() => staysBehind(codec, client, entity, raws))) ?? none;
    },
    close: async () => client?.end(),
  };
}

/** By measurements (ADR 19) reading and cleaning are between a half and a quarter of a copy; staging and merging the rest. */
const COPY_LEAST = 2;
const COPY_MOST = 4;

function estimateOf(documents: readonly Documents[], read: number, tookMs: number): Preflight['estimate'] {
  const total = documents.reduce((sum, each) => sum + each.total, 0);
  if (read < MEASURED_MIN || tookMs <= 0) {
    return { documents: total, perSecond: null, durationMs: null, copyMs: null };
  }
  const perSecond = Math.round((read * 1_000) / tookMs);
  const durationMs = Math.round((total * tookMs) / read);
  const copyMs = { least: durationMs * COPY_LEAST, most: durationMs * COPY_MOST };
  return { documents: total, perSecond, durationMs, copyMs };
}

async function lookAtPostgres(
  { stores, urls, env, poolMax, signal }: PreflightContext,
  { instances }: PreflightOptions,
  comingBytes: number | null,
): Promise<readonly Check[]> {
  const store = stores.postgres;
  if (urls.postgres === null || store === null) {
    return [{ ...NOT_CONFIGURED, name: 'configured', store: 'postgres', remedy: 'set DATABASE_URL' }];
  }
  const client = await connectPostgres(urls.postgres, signal);
  try {
    const facts = await inspectPostgres(client);
    return judgePostgres(facts, {
      instances,
      poolMax: poolMax.postgres,
      comingBytes,
      migrated: await attempt(() => store.isMigrated()),
      server: await store.describe(),
      durability: await store.durabilityProblems(),
      session: await store.sessionProblems(),
      history: await attempt(() => store.history()),
      tools: await findTools(env, facts.major),
    });
  } finally {
    await client.end();
  }
}
