/**
 * Seeded bugs: what a mistake in the service would do, put in through its seams, never in its own code. Each must make
 * the harness fail, or the harness proves nothing. Which of them is in is decided while the service runs.
 */
import pg from 'pg';
import { RULES } from '../../cutover/protocol/rules.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';
import type { Seams } from '../../plugins/repositories.ts';

export const BUGS = [
  'mirror-dropped',
  'stamp-guard-removed',
  'late-retry',
  'no-fence',
  'no-second-check',
  'orphan-kept',
  'timeout-as-failure',
  'legacy-token-alive',
] as const;
export type Bug = (typeof BUGS)[number];

export interface Seeded {
  readonly seams: Seams;
  /** From now on this one is in; null: none. */
  use(bug: Bug | null): void;
  /** States of the mirror that are on their way, to land late. */
  late(): number;
  /** Orphans that were to be dealt with, and were not. */
  kept(): number;
}

/** `postgresUrl` is for what only a mistake in a statement could do. */
export function seedBugs(postgresUrl: string): Seeded {
  let active: Bug | null = null;
  const is = (bug: Bug): boolean => active === bug;
  const lateness = createLateness(postgresUrl);
  let kept = 0;
  /** True, and counted, when the orphan is to stay. */
  const keeps = (): boolean => {
    if (!is('orphan-kept')) return false;
    kept += 1;
    return true;
  };
  return {
    use(bug) {
      active = bug;
      kept = 0;
    },
    late: lateness.count,
    kept: () => kept,
    seams: {
      rules: {
        ...RULES,
        fenceStops: (transition) => !is('no-fence') && RULES.fenceStops(transition),
        get checksAfterAnswer() {
          return !is('no-second-check');
        },
      },
      wrapStore: (store) => withBugs(store, is, keeps, lateness),
    },
  };
}

function withBugs(store: Store, is: (bug: Bug) => boolean, keeps: () => boolean, lateness: Lateness): Store {
  const { replica } = store;
  const buggy: Pick<Replica, 'apply' | 'touch' | 'moveAside'> = {
    async apply(entity, records, under) {
      // Says that all is done, and does nothing.
      if (is('mirror-dropped')) return records.map(() => ({ kind: 'applied' }));
      if (store.name !== 'postgres') return replica.apply(entity, records, under);
      const unguarded: Replica['apply'] = async (...given) => {
        await lateness.forget(entity, records);
        return replica.apply(...given);
      };
      const first = entity === 'session' ? records.filter(({ stamp }) => stamp.version === 1) : [];
      // PostgreSQL takes any state over any other, and a session's first one lands after the next.
      if (is('stamp-guard-removed')) {
        const late = () => unguarded(entity, records, under);
        return first.length > 0 ? lateness.onceOvertaken(first, late) : late();
      }
      // It lands in time, and once more when the next one is there.
      if (is('late-retry') && first.length > 0) {
        void lateness.onceOvertaken(first, () => unguarded(entity, first, under)).catch(() => {});
      }
      return replica.apply(entity, records, under);
    },
    // Whatever is to be done about a mark in the mirror is not done.
    touch: async (...given) => !keeps() && replica.touch(...given),
    moveAside: async (...given) => !keeps() && replica.moveAside(...given),
  };
  return {
    ...store,
    replica: { ...replica, ...buggy },
    at(context) {
      const repository = store.at(context);
      return {
        ...repository,
        changePassword: (change) =>
          is('timeout-as-failure') ? timeoutAsFailure(repository, change) : repository.changePassword(change),
        findResetToken: (token) =>
          is('legacy-token-alive') ? legacyTokenAlive(repository, token) : repository.findResetToken(token),
      };
    },
  };
}

const TABLE: Readonly<Record<Entity, string>> = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
};
/** In case the next state never comes. */
const OVERTAKEN_TIMEOUT_MS = 10_000;
const LOOK_MS = 20;

interface Lateness {
  count(): number;
  /** Takes the stamps off, so that any state goes over what is there. */
  forget(entity: Entity, records: readonly { readonly id: string }[]): Promise<void>;
  /** Does it once PostgreSQL holds a later state of each; until it is done it counts. */
  onceOvertaken<T>(sessions: readonly { readonly id: string }[], work: () => Promise<T>): Promise<T>;
}

function createLateness(postgresUrl: string): Lateness {
  const pool = new pg.Pool({ connectionString: postgresUrl, max: 2 });
  pool.on('error', () => {});
  let waiting = 0;
  const idsOf = (records: readonly { readonly id: string }[]) => records.map(({ id }) => id);
  return {
    count: () => waiting,
    async forget(entity, records) {
      const sql = `update ${TABLE[entity]} set epoch = 0, version = 0 where id = any($1)`;
      await pool.query(sql, [idsOf(records)]);
    },
    async onceOvertaken(sessions, work) {
      waiting += 1;
      const untilMs = performance.now() + OVERTAKEN_TIMEOUT_MS;
      const sql = 'select 1 from sessions where id = any($1) and version > 1';
      try {
        for (let later = 0; later < sessions.length && performance.now() < untilMs; ) {
          await new Promise((resolve) => setTimeout(resolve, LOOK_MS).unref());
          later = (await pool.query(sql, [idsOf(sessions)])).rowCount ?? 0;
        }
        return await work();
      } finally {
        waiting -= 1;
      }
    },
  };
}

/** A write that may have been made is answered as one that was refused. */
async function timeoutAsFailure(
  repository: Repository,
  change: Parameters<Repository['changePassword']>[0],
): ReturnType<Repository['changePassword']> {
  try {
    return await repository.changePassword(change);
  } catch (error) {
    if (error instanceof StoreUnavailable && error.outcome === 'unknown') return 'changed';
    throw error;
  }
}

/** A token of the old service, in clear text, goes on working whatever was asked for since. */
async function legacyTokenAlive(
  repository: Repository,
  token: Parameters<Repository['findResetToken']>[0],
): ReturnType<Repository['findResetToken']> {
  const found = await repository.findResetToken(token);
  if (found === null || found.token.nonce !== null || found.user === null) return found;
  const generation = found.user.resetGeneration;
  return { ...found, superseded: false, token: { ...found.token, generation } };
}
