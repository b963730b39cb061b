/**
 * PostgreSQL is lost for good while it has authority: MongoDB takes over with what was mirrored. Whatever had been acknowledged
 * and not mirrored is lost, hence the words it asks for. The old PostgreSQL, if it returns, still takes itself for the
 * authority of its epoch: every instance that reads both follows the higher one, and it cannot become the mirror again until
 * it has been rebuilt. That no instance reaches only the old one is the operator's statement.
 *
 * The epoch goes up by two. A rollback that was under way may have been recorded in PostgreSQL (the loser is written first)
 * as the next epoch and not in MongoDB; no later one can have been, for that would have begun in MongoDB.
 */
import { idAt } from '../../db/ids.ts';
import type { Store } from '../../db/port.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../db/records.ts';
import type { Replica, Scanned } from '../../db/replica.ts';
import { WrongArgument } from '../argument.ts';
import { changeControl, missingControl, readControl, readLeases } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { isAuthorityBehind } from '../mode.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { DEFAULT_TIMING } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { duration, whyRefused } from '../words.ts';
import { AuthorityUnknown } from './errors.ts';
import { beginRun, type Run } from './run.ts';
import { attempt, backlogOf, readSituation } from './situation.ts';
import type { FailoverRequest, FailoverResult, OperatorContext, Summary } from './types.ts';

const EPOCHS = 2;
const RECENT_MS = 3_600_000;
const PAGE = 5_000;

export async function failover(context: OperatorContext, request: FailoverRequest): Promise<FailoverResult> {
  if (request.reason.trim() === '') throw new WrongArgument('a failover needs a reason');
  const run = beginRun(context, Number.POSITIVE_INFINITY);
  const startedMs = run.environment.now().monotonicMs;
  const { mongo, record } = await readMongo(run);
  const before = await summary(run, mongo, record);
  const refusal = (await whyNot(run, record)) ?? (request.acceptLoss ? null : LOSS_NOT_ACCEPTED);
  const refuse = async (reason: string): Promise<FailoverResult> => {
    await logEvent(run, mongo, 'refused', record, { verb: 'failover', reason });
    return { kind: 'refused', before, after: before, longestPauseMs: null, reasons: [reason], loss: [] };
  };
  if (refusal !== null) return refuse(refusal);

  const waitMs = await longestLeaseMs(mongo, record);
  run.say('leases', `waiting ${duration(waitMs)} until every lease from the old authority has lapsed`);
  await run.environment.sleep(waitMs);
  const again = await readMongo(run);
  const changed = again.record.epoch !== record.epoch || again.record.revision !== record.revision;
  if (changed)
    return refuse('MongoDB’s control record changed meanwhile: look at the status, then try again');
  const late = await whyNot(run, record);
  if (late !== null) return refuse(late);

  const loss = await lossOf(run, mongo, record);
  const next: ControlRecord = {
    ...record,
    mode: 'mongo-only',
    epoch: record.epoch + EPOCHS,
    revision: record.revision + 1,
    transition: null,
    changedBy: run.environment.newId(),
    copy: { kind: 'none' },
  };
  run.say('failover', `MongoDB takes authority under epoch ${next.epoch}`);
  const decision = await changeControl(mongo, { kind: 'gain', record: next, judged: record });
  if (decision.kind === 'refused') return refuse(whyRefused(decision.reason, decision.record));
  const longestPauseMs = run.environment.now().monotonicMs - startedMs;
  const details = { reason: request.reason, from: record.mode, fromEpoch: record.epoch };
  await logEvent(run, mongo, 'failover', decision.record, details);
  const after = await summary(run, mongo, decision.record);
  const reasons = [await whoFollows(run, mongo, decision.record)];
  return { kind: 'done', before, after, longestPauseMs, reasons, loss };
}

const LOSS_NOT_ACCEPTED =
  'it loses what was not mirrored: add --accept-loss, which also states that no instance can reach PostgreSQL any more';

async function readMongo(run: Run): Promise<{ readonly mongo: Store; readonly record: ControlRecord }> {
  const { mongo } = run.stores;
  if (mongo === null) throw new AuthorityUnknown('MongoDB is not configured');
  const record = await readControl(mongo);
  if (record === null)
    throw new AuthorityUnknown('MongoDB holds no control record: nothing was ever mirrored there');
  return { mongo, record };
}

async function whyNot(run: Run, record: ControlRecord): Promise<string | null> {
  if (record.mode !== 'postgres-primary') {
    return `a failover leads from postgres-primary only; MongoDB last knew of ${record.mode}`;
  }
  if (run.stores.postgres === null) {
    return 'DATABASE_URL is not set, so PostgreSQL could not be asked whether it is lost: give the URL that the instances have';
  }
  const { readings } = await readSituation(run);
  const { reachable, record: own, trouble } = readings.postgres;
  if (!reachable) return null;
  if (trouble !== null || own === null) {
    const { message } = trouble ?? missingControl('postgres');
    return `PostgreSQL answers, though ${message}: mend it, or keep it out of reach`;
  }
  if (isAuthorityBehind(own.copy))
    return 'PostgreSQL answers, and would go on beside it: keep it out of reach first';
  return 'PostgreSQL answers: cutover rollback loses nothing';
}

/** The rows are lost with the authority, so it is the longest that any of them can have been. */
async function longestLeaseMs(mongo: Store, record: ControlRecord): Promise<number> {
  const timing = timingOf(settingsOf(record));
  const rows = (await attempt(() => readLeases(mongo))) ?? [];
  const lease = Math.max(timing.leaseMs, DEFAULT_TIMING.leaseMs, ...rows.map(({ leaseMs }) => leaseMs));
  return lease + Math.max(timing.marginMs, DEFAULT_TIMING.marginMs);
}

/** An instance that has not looked at MongoDB yet would go on with a PostgreSQL that returns. */
async function whoFollows(run: Run, mongo: Store, record: ControlRecord): Promise<string> {
  const timing = timingOf(settingsOf(record));
  await run.environment.sleep(2 * (timing.pollMs + timing.heartbeatMs));
  const rows = (await attempt(() => readLeases(mongo))) ?? [];
  const count = rows.filter(({ epoch }) => epoch === record.epoch).length;
  const follow = count === 1 ? '1 instance follows' : `${count} instances follow`;
  return `${follow} MongoDB by now: keep PostgreSQL out of reach until all of them do`;
}

/** One sentence for each thing that can still be known. */
async function lossOf(run: Run, mongo: Store, { copy }: ControlRecord): Promise<readonly string[]> {
  const newest = await attempt(() => newestMirrored(mongo, run.environment.date()));
  return [
    'what PostgreSQL had acknowledged and not yet mirrored is lost; how much it was only PostgreSQL knew',
    newest === null || newest === undefined
      ? `nothing that was made in the last ${duration(RECENT_MS)} has reached MongoDB`
      : `of what was made in the last ${duration(RECENT_MS)}, the newest in MongoDB was written at ${newest.toISOString()}: take what came after that for lost`,
    'sessions that were ended, and passwords that were changed, since then are as they were before: consider ending all sessions',
    ...(copy.kind === 'complete'
      ? []
      : [`the copy in MongoDB was ${copy.kind}: what was written without a mirror is lost too`]),
  ];
}

/** Of what was made lately: who looked at every older record too would look for long. */
async function newestMirrored({ replica }: Store, date: Date): Promise<Date | null> {
  const from = idAt(date.getTime() - RECENT_MS);
  const times = await Promise.all(ENTITIES.map((entity) => newestOf(replica, entity, from)));
  return times.reduce(later, null);
}

async function newestOf(replica: Replica, entity: Entity, from: string): Promise<Date | null> {
  let newest: Date | null = null;
  for (let after: string | null = from; after !== null; ) {
    const page: Scanned<Entity> = await replica.scan(entity, { after, limit: PAGE });
    newest = page.records.map(writtenAt).reduce<Date | null>(later, newest);
    after = page.next;
  }
  return newest;
}

function writtenAt(record: RecordOf[Entity]): Date {
  if ('rotatedAt' in record) return record.rotatedAt;
  return 'updatedAt' in record ? record.updatedAt : record.createdAt;
}

const later = (a: Date | null, b: Date | null): Date | null => (a === null || (b !== null && b > a) ? b : a);

async function summary(run: Run, mongo: Store, record: ControlRecord): Promise<Summary> {
  const { mode, epoch, revision, copy, transition } = record;
  const pending = mode === 'mongo-only' ? await backlogOf(mongo, run.environment.date().getTime()) : UNKNOWN;
  return {
    mode,
    epoch,
    revision,
    authority: mode === 'mongo-only' ? 'mongo' : 'postgres',
    copy,
    transition,
    pending,
  };
}

const UNKNOWN = { count: null, oldestAgeMs: null };
