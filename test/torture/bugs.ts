/**
 * Seeded bugs: what a mistake in the service would do, put in through its seams, never in its own code. Each must make
 * the harness fail, or the harness proves nothing.
 */
import pg from 'pg';
import { RULES, type Rules } from '../../cutover/protocol/rules.ts';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';

export interface Seams {
  readonly rules?: Rules;
  readonly wrapStore?: (store: Store) => Store;
}

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

/** `postgresUrl` is for what only a mistake in a statement could do. */
export function seamsOf(bug: Bug, postgresUrl: string): Seams {
  switch (bug) {
    case 'mirror-dropped':
      return { wrapStore: (store) => withReplica(store, { apply: dropEverything }) };
    case 'stamp-guard-removed':
      return { wrapStore: (store) => unguarded(store, postgresUrl, 'slow') };
    case 'late-retry':
      return { wrapStore: (store) => unguarded(store, postgresUrl, 'again') };
    case 'no-fence':
      return { rules: { ...RULES, fenceStops: () => false } };
    case 'no-second-check':
      return { rules: { ...RULES, checksAfterAnswer: false } };
    case 'orphan-kept':
      return { wrapStore: keepOrphans };
    case 'timeout-as-failure':
      return { wrapStore: (store) => withRepository(store, timeoutAsFailure) };
    case 'legacy-token-alive':
      return { wrapStore: (store) => withRepository(store, legacyTokenAlive) };
  }
}

/** Long enough for the next write of the same session to have reached the mirror. */
export const LATE_MS = 1_500;

const withReplica = (store: Store, change: Partial<Replica>): Store => ({
  ...store,
  replica: { ...store.replica, ...change },
});

const withRepository = (store: Store, change: (repository: Repository) => Partial<Repository>): Store => ({
  ...store,
  at(context) {
    const repository = store.at(context);
    return { ...repository, ...change(repository) };
  },
});

/** Says that all is done, and does nothing. */
const dropEverything: Replica['apply'] = async (_entity, records) => records.map(() => ({ kind: 'applied' }));

const TABLE: Readonly<Record<Entity, string>> = {
  user: 'users',
  verificationToken: 'verification_tokens',
  resetToken: 'password_reset_tokens',
  session: 'sessions',
};

/** PostgreSQL takes any state over any other, and a session's first state lands late: only then, or once more. */
function unguarded(store: Store, postgresUrl: string, when: 'slow' | 'again'): Store {
  if (store.name !== 'postgres') return store;
  const pool = new pg.Pool({ connectionString: postgresUrl, max: 2 });
  pool.on('error', () => {});
  const late = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, LATE_MS).unref());
  const apply: Replica['apply'] = async (entity, records, under) => {
    const ids = records.map(({ id }) => id);
    await pool.query(`update ${TABLE[entity]} set epoch = 0, version = 0 where id = any($1)`, [ids]);
    return store.replica.apply(entity, records, under);
  };
  return withReplica(store, {
    async apply(entity, records, under) {
      const first = entity === 'session' ? records.filter(({ stamp }) => stamp.version === 1) : [];
      if (when === 'slow') {
        if (first.length > 0) await late();
        return apply(entity, records, under);
      }
      if (first.length > 0) void late().then(() => apply(entity, first, under).catch(() => {}));
      return store.replica.apply(entity, records, under);
    },
  });
}

/** Whatever is to be done about a mark in the mirror is not done. */
function keepOrphans(store: Store): Store {
  return withReplica(store, { touch: async () => false, moveAside: async () => false });
}

/** A write that may have been made is answered as one that was refused. */
function timeoutAsFailure(repository: Repository): Partial<Repository> {
  return {
    async changePassword(change) {
      try {
        return await repository.changePassword(change);
      } catch (error) {
        if (error instanceof StoreUnavailable && error.outcome === 'unknown') return 'changed';
        throw error;
      }
    },
  };
}

/** A token of the old service, in clear text, goes on working whatever was asked for since. */
function legacyTokenAlive(repository: Repository): Partial<Repository> {
  return {
    async findResetToken(token) {
      const found = await repository.findResetToken(token);
      if (found === null || found.token.nonce !== null || found.user === null) return found;
      const generation = found.user.resetGeneration;
      return { ...found, superseded: false, token: { ...found.token, generation } };
    },
  };
}
