/**
 * pg-boss hands the ranges of a run out to whoever works, and out again when whoever had one has died. It carries no truth:
 * a range is done when its row says so, so a job that is lost, doubled or handed out twice comes to nothing.
 */
import { PgBoss } from 'pg-boss';
import { toStoreError } from '../errors.ts';
import type { Connection, PostgresBulk } from './client.ts';

/** Where pg-boss keeps its tables; not under its usual name, which another program on this database may use. */
export const JOBS_SCHEMA = 'copy_jobs';

/** The shortest pg-boss takes: a worker that has not been heard of for so long is dead. */
const HEARTBEAT_SECONDS = 10;
const BEAT_SECONDS = 2;
/** Between two looks for dead workers, by whichever process is first. */
const LOOK_SECONDS = 2;
const POLL_SECONDS = 0.5;
/** The longest pg-boss takes: how long a range may take is not for it to say. */
const EXPIRY_SECONDS = 24 * 3_600;
/** A worker that dies is no reason to give a range up. */
const RETRIES = 1_000_000;

export interface Job {
  readonly id: string;
  readonly number: number;
}

export interface Jobs {
  /** Makes what the jobs of a run are kept in; may be made again. */
  begin(run: string): Promise<void>;
  /** A job for each number that has none waiting or at work. In a transaction it is there once that has committed. */
  offer(run: string, numbers: readonly number[], connection?: Connection): Promise<void>;
  /** Takes jobs, so many at once, until it is stopped; one whose work fails is handed out again. */
  work(run: string, atOnce: number, work: (job: Job) => Promise<void>): Promise<Crew>;
  /** Takes jobs out whose worker is known to be dead; what they were for is to be offered again. */
  release(run: string, ids: readonly string[]): Promise<void>;
  /** Of a run that needs no jobs any more. */
  forget(run: string): Promise<void>;
  /** After every crew has stopped. */
  close(): Promise<void>;
}

export interface Crew {
  /** Resolves once what was being worked has ended. */
  stop(): Promise<void>;
}

/** Makes pg-boss's tables the first time: its role needs to own the schema, or to be let make it. */
export async function openJobs(bulk: PostgresBulk): Promise<Jobs> {
  const [{ isThere } = { isThere: false }] = await bulk.query<{ isThere: boolean }>(
    'select to_regnamespace($1) is not null as "isThere"',
    [JOBS_SCHEMA],
  );
  const boss = new PgBoss({
    db: { executeSql: (text, values) => bulk.execute(text, values) },
    schema: JOBS_SCHEMA,
    createSchema: !isThere,
    schedule: false,
    registerInstance: false,
    monitorVacuum: false,
    reindex: false,
    superviseIntervalSeconds: LOOK_SECONDS,
    monitorIntervalSeconds: LOOK_SECONDS,
  });
  // Its beats and looks are made again; whoever waits for the ranges meets the same trouble, and says so.
  boss.on('error', () => {});
  await asked(() => boss.start());

  return {
    begin: (run) =>
      asked(() =>
        boss.createQueue(queueOf(run), {
          policy: 'exclusive',
          heartbeatSeconds: HEARTBEAT_SECONDS,
          expireInSeconds: EXPIRY_SECONDS,
          retryLimit: RETRIES,
          retryDelay: 0,
        }),
      ),
    async offer(run, numbers, connection) {
      const offered = numbers.map((number) => ({ data: { number }, singletonKey: String(number) }));
      const db = connection && {
        executeSql: (text: string, values?: unknown[]) => connection.query(text, values),
      };
      await asked(() => boss.insert(queueOf(run), offered, db === undefined ? {} : { db }));
    },
    async work(run, atOnce, work) {
      const ids: string[] = [];
      for (let place = 0; place < atOnce; place += 1) {
        const options = { pollingIntervalSeconds: POLL_SECONDS, heartbeatRefreshSeconds: BEAT_SECONDS };
        const id = await boss.work<{ number: number }>(queueOf(run), options, async ([job]) => {
          if (job === undefined) return;
          await work({ id: job.id, number: job.data.number });
          // It looks for the next one at once, not after its usual rest.
          const own = ids[place];
          if (own !== undefined) boss.notifyWorker(own);
        });
        ids.push(id);
      }
      return {
        async stop() {
          await Promise.all(ids.map((id) => boss.offWork(queueOf(run), { id, wait: true })));
        },
      };
    },
    async release(run, ids) {
      if (ids.length > 0) await asked(() => boss.deleteJob(queueOf(run), [...ids]));
    },
    forget: (run) => asked(() => boss.deleteQueue(queueOf(run))),
    close: () => boss.stop({ close: false, graceful: false }),
  };
}

const queueOf = (run: string): string => `run-${run}`;

async function asked<T>(work: () => Promise<T>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw toStoreError(error, 'committing');
  }
}
