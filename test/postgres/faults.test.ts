import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { createPool } from '../../db/postgres/pool.ts';
import { openPostgresStore, type PostgresStoreOptions } from '../../db/postgres/store.ts';
import {
  logIn,
  NOW,
  newAccount,
  newSession,
  parallel,
  sessionOf,
  signUp,
  userOf,
} from '../contract/fixtures.ts';
import { freezePostgres } from '../support/faults.ts';
import { newPostgresDatabase, ownPostgres, TIMEOUT_MS } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const CONTEXT = { epoch: 1, pending: false };
/** A machine may be busy: only what is to run into its time-out has a short one, and is asked again where that may differ. */
const PATIENT = { statementTimeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS };
const SHORT_MS = 500;

async function unavailable(operation: Promise<unknown>): Promise<StoreUnavailable> {
  const error = await operation.then(
    () => new Error('the operation succeeded'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof StoreUnavailable)) throw error;
  return error;
}

describe('a PostgreSQL in trouble', async () => {
  const url = await newPostgresDatabase();
  const admin = new pg.Pool({ connectionString: url, max: 2 });
  const stores: Store[] = [];
  const open = async (options: Partial<PostgresStoreOptions> = {}): Promise<Store> => {
    const store = await openPostgresStore({ url, ...PATIENT, ...options });
    stores.push(store);
    return store;
  };
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await admin.end();
  });
  const patient = (await open()).at(CONTEXT);

  /** Holds a lock on the row of a user until released. */
  async function lockUser(id: string): Promise<() => Promise<void>> {
    const client = await admin.connect();
    await client.query('begin');
    await client.query('select 1 from users where id = $1 for update', [id]);
    return async () => {
      await client.query('rollback');
      client.release();
    };
  }

  it('begins a transaction again that the server rolled back for a deadlock', async () => {
    const options = encodeURIComponent('-c deadlock_timeout=50');
    const repo = (await open({ url: `${url}?options=${options}` })).at(CONTEXT);
    for (let round = 0; round < 8; round++) {
      const [a, b] = [await signUp(repo), await signUp(repo)];
      // Each login ends the other user's session and then its own user's: in opposite order.
      await Promise.all(
        [
          [a, b],
          [b, a],
        ].map(([own, other]) =>
          repo.openSession({
            session: newSession(own?.user.id ?? ''),
            replacesId: other?.session.id ?? null,
            sessionsMax: 1,
            now: NOW,
          }),
        ),
      );
    }
  });

  it('opens without a server, answers unavailable, and nothing was done', async () => {
    const store = await open({ url: 'postgres://nobody@127.0.0.1:1/nothing' });
    const error = await unavailable(store.at(CONTEXT).createAccount(newAccount()));
    expect(error).toMatchObject({ store: 'postgres', outcome: 'none', reason: 'connect' });
    expect(await unavailable(store.ping())).toMatchObject({ reason: 'connect' });
    expect(await unavailable(store.migrate(() => {}))).toMatchObject({ reason: 'connect' });
  });

  it('names neither host nor values in its message', async () => {
    const store = await open({ url: 'postgres://nobody:hidden-1@127.0.0.1:1/nothing' });
    const { message } = await unavailable(store.at(CONTEXT).findUserByEmail('hidden-2@example.org'));
    expect(message).not.toMatch(/hidden|127\.0\.0\.1|nobody/);
  });

  it('gives up waiting for a lock, nothing is written, and later writes go through', async () => {
    const repo = (await open({ statementTimeoutMs: SHORT_MS })).at(CONTEXT);
    const { user } = await signUp(patient);
    const ending = { userId: user.id, now: NOW };
    const release = await lockUser(user.id);
    await eventually(async () => {
      const error = await unavailable(repo.endSessions(ending));
      expect(error).toMatchObject({ outcome: 'none', reason: 'contention' });
    });
    await release();
    expect((await userOf(patient, user.id)).sessionGeneration).toBe(0);
    expect(await eventually(() => repo.endSessions(ending))).toBe('done');
  });

  it('that does not let its role do something is unavailable, nothing was done, and it goes on once it may', async () => {
    const role = `limited_${randomBytes(4).toString('hex')}`;
    await admin.query(`create role ${role}`);
    await admin.query(`grant usage on schema public to ${role}`);
    await admin.query(`grant select, insert, update on all tables in schema public to ${role}`);
    await admin.query(`revoke insert on sessions from ${role}`);
    onTestFinished(async () => {
      await admin.query(`drop owned by ${role}`);
      await admin.query(`drop role ${role}`);
    });
    const store = await open({ url: `${url}?options=${encodeURIComponent(`-c role=${role}`)}` });
    const account = newAccount();
    const error = await unavailable(store.at(CONTEXT).createAccount(account));
    expect(error).toMatchObject({ store: 'postgres', outcome: 'none', reason: 'forbidden' });
    expect(error.message).not.toContain('sessions');
    await admin.query(`grant insert on sessions to ${role}`);
    await store.at(CONTEXT).createAccount(account);
  });

  it('waits for the control record no longer than for anything else', async () => {
    const store = await open();
    const short = await open({ statementTimeoutMs: SHORT_MS });
    const under = { epoch: 1, expiredBefore: new Date(0) };
    await store.books.createControl({ epoch: 1, revision: 1, body: {} });
    const { user } = await signUp(patient);
    const record = { ...(await userOf(patient, user.id)), stamp: { epoch: 1, version: 5 } };
    const client = await admin.connect();
    await client.query('begin');
    await client.query('select from cutover_control for update');
    const next = { epoch: 2, revision: 2, body: {} };
    for (const wait of [
      () => short.replica.apply('user', [record], under),
      () => short.books.replaceControl({ epoch: 1, revision: 1 }, next),
    ]) {
      // The limit on waiting for locks, or the one on the whole statement, whichever a busy machine meets first.
      await eventually(async () => expect(await unavailable(wait())).toMatchObject({ outcome: 'none' }));
    }
    expect(await store.books.readControl()).toMatchObject({ epoch: 1, revision: 1 });
    await client.query('rollback');
    client.release();
    expect(await store.replica.apply('user', [record], under)).toEqual([{ kind: 'applied' }]);
    expect(await store.books.replaceControl({ epoch: 1, revision: 1 }, next)).toBe(true);
  });

  it('refuses what finds no free connection in time, and recovers', async () => {
    const store = await open({ poolMax: 1, statementTimeoutMs: 20_000, connectTimeoutMs: 1_000 });
    const repo = store.at(CONTEXT);
    const { user } = await signUp(patient);
    await eventually(() => repo.findUser(user.id));
    const release = await lockUser(user.id);
    const waiting = repo.endSessions({ userId: user.id, now: NOW });
    const error = await unavailable(repo.findUser(user.id).then(() => repo.findUser(user.id)));
    expect(error).toMatchObject({ outcome: 'none', reason: 'overloaded' });
    await release();
    expect(await waiting).toBe('done');
    expect(await eventually(() => repo.findUser(user.id))).not.toBeNull();
  });

  it('a statement past its time is cancelled by the server: nothing is written, its connection goes on', async () => {
    await admin.query(`
      create function dawdle() returns trigger language plpgsql as $$
        begin perform pg_sleep(10); return new; end $$;
      create trigger dawdle before insert on users for each row when (new.name = 'slow') execute function dawdle()`);
    const options = { url: `${url}?application_name=slow`, poolMax: 1, statementTimeoutMs: SHORT_MS };
    const repo = (await open(options)).at(CONTEXT);
    const pids = async () =>
      (await admin.query(`select pid from pg_stat_activity where application_name = 'slow'`)).rows;
    // A client that stood still for longer than the server gave it drops the connection instead.
    const tried: string[] = [];
    await eventually(async () => {
      await signUp(repo);
      const before = await pids();
      const slow = newAccount({ name: 'slow' });
      tried.push(slow.user.id);
      expect(await unavailable(repo.createAccount(slow))).toMatchObject({
        outcome: 'none',
        reason: 'timeout',
      });
      expect(before).toHaveLength(1);
      expect(await pids()).toEqual(before);
    });
    for (const id of tried) expect(await patient.findUser(id)).toBeNull();
  });

  it('a full disk is told as such', async () => {
    await admin.query(`
      create function no_space() returns trigger language plpgsql as $$
        begin raise exception using errcode = 'disk_full'; end $$;
      create trigger no_space before insert on users for each row when (new.name = 'large') execute function no_space()`);
    const repo = (await open()).at(CONTEXT);
    const error = await unavailable(repo.createAccount(newAccount({ name: 'large' })));
    expect(error).toMatchObject({ outcome: 'none', reason: 'disk-full' });
  });

  it('a connection killed inside a transaction leaves no trace of it', async () => {
    const store = await open({ statementTimeoutMs: 20_000 });
    const heard: string[] = [];
    const repo = store.at({ ...CONTEXT, onWrite: (entity) => heard.push(entity) });
    const { user, session } = await signUp(store.at(CONTEXT));
    const other = await logIn(store.at(CONTEXT), user.id);
    const client = await admin.connect();
    await client.query('begin');
    await client.query('select 1 from sessions where id = $1 for update', [session.id]);
    // The user is written by then, and the transaction waits for the session.
    const erasing = unavailable(repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }));
    await eventually(async () => {
      const { rows } = await client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and application_name = 'auth'`,
      );
      return rows.length > 0;
    });
    expect(await erasing).toMatchObject({ outcome: 'none', reason: 'connection-lost' });
    await client.query('rollback');
    client.release();
    expect(await userOf(repo, user.id)).toMatchObject({ deletedAt: null, email: user.email });
    expect((await sessionOf(repo, other.id)).revokedAt).toBeNull();
    expect(heard).toEqual([]);
  });

  it('survives the loss of every idle connection', async () => {
    const store = await open();
    const repo = store.at(CONTEXT);
    await parallel(10, () => signUp(repo));
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'auth'`,
    );
    await eventually(() => signUp(repo));
  });

  it('survives the loss of a connection that is checked out but at rest', async () => {
    const pool = createPool({ url, poolMax: 1, ...PATIENT });
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid', []);
    const pids = rows.map(({ pid }) => pid);
    await admin.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [pids]);
    await eventually(async () => {
      const left = await admin.query('select from pg_stat_activity where pid = any($1)', [pids]);
      return left.rows.length === 0;
    });
    const error = await unavailable(client.query('select 1', []));
    expect(error).toMatchObject({ outcome: 'none', reason: 'connection-lost' });
    client.release();
    const next = await pool.connect();
    expect((await next.query('select 1 as one', [])).rows).toEqual([{ one: 1 }]);
    next.release();
    await pool.end();
  });

  it('does not keep a row for whoever stands still in the middle of a transaction', async () => {
    const { user } = await signUp(patient);
    const pool = createPool({ url, poolMax: 1, ...PATIENT, statementTimeoutMs: SHORT_MS });
    onTestFinished(() => pool.end());
    const client = await pool.connect();
    // In one message: it may stand still as soon as it has the row.
    await client.query(`begin; update users set name = 'half' where id = '${user.id}'`, []);
    expect(await patient.endSessions({ userId: user.id, now: NOW })).toBe('done');
    expect((await userOf(patient, user.id)).name).toBe(user.name);
    expect(await unavailable(client.query('commit', []))).toMatchObject({ reason: 'connection-lost' });
    client.release();
  });

  it('a read-only server is unavailable to writes and to the ping', async () => {
    const separator = url.includes('?') ? '&' : '?';
    const options = encodeURIComponent('-c default_transaction_read_only=on');
    const store = await open({ url: `${url}${separator}options=${options}` });
    const error = await unavailable(store.at(CONTEXT).createAccount(newAccount()));
    expect(error).toMatchObject({ outcome: 'none', reason: 'read-only' });
    expect(await unavailable(store.ping())).toMatchObject({ reason: 'read-only' });
  });

  it('an unexpected refusal quotes nothing of the row', async () => {
    const store = await open();
    const account = newAccount({ name: 'quoted-name', version: -1 } as object);
    const session = { ...account.session, keyId: '' };
    const error = await store
      .at(CONTEXT)
      .createAccount({ ...account, session })
      .catch((reason: unknown) => reason);
    expect(String(error)).toContain('sessions_ids_filled');
    expect(`${JSON.stringify(error)} ${String(error)} ${String((error as Error).cause)}`).not.toContain(
      'quoted-name',
    );
  });
});

describe('a frozen PostgreSQL', async () => {
  const server = await ownPostgres();
  const times = { statementTimeoutMs: SHORT_MS, connectTimeoutMs: SHORT_MS };
  const store = await openPostgresStore({ url: server.url, ...times, poolMax: 4 });
  const patient = await openPostgresStore({ url: server.url, ...PATIENT });
  afterAll(() => Promise.all([store.close(), patient.close()]));
  await patient.migrate(() => {});
  const repo = store.at(CONTEXT);

  /** Somebody, once every connection of the pool is open: an idle one hangs just like a new one. */
  async function filled() {
    const account = await signUp(patient.at(CONTEXT));
    await eventually(() => parallel(8, () => repo.findUser(account.user.id)));
    return account;
  }

  it('runs durably, and a URL that makes it run otherwise is told', async () => {
    expect(await patient.durabilityProblems()).toEqual([]);
    const careless = new URL(server.url);
    careless.searchParams.set('options', '-c synchronous_commit=off');
    const other = await openPostgresStore({ url: careless.href, ...PATIENT });
    try {
      expect(await other.durabilityProblems()).toEqual([
        'PostgreSQL runs with synchronous_commit = off: set it to on',
      ]);
    } finally {
      await other.close();
    }
  });

  it('is unavailable within the time-outs, writes of unknown outcome, and recovers by itself', async () => {
    const { user, session } = await filled();
    const frozen = await freezePostgres(server);
    try {
      const results = await Promise.all([
        unavailable(repo.createAccount(newAccount())),
        unavailable(repo.findSession(session.id)),
        unavailable(repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW })),
        unavailable(store.ping()),
        ...Array.from({ length: 20 }, () => unavailable(repo.findUser(user.id))),
      ]);
      expect(results[0]).toMatchObject({ outcome: 'unknown', reason: 'timeout' });
      for (const read of results.slice(1)) expect(read.outcome).toBe('none');
    } finally {
      frozen.thaw();
    }
    await eventually(() => store.ping());
    const found = await eventually(() => repo.findUser(user.id));
    expect(found).toMatchObject({ email: user.email, deletedAt: null });
  });

  it('hands no connection out again that still runs an abandoned statement', async () => {
    const { user } = await filled();
    const frozen = await freezePostgres(server);
    try {
      await Promise.all(Array.from({ length: 4 }, () => unavailable(repo.findUser(user.id))));
    } finally {
      frozen.thaw();
    }
    const other = await eventually(() => signUp(repo));
    const found = await eventually(() => parallel(20, () => repo.findUser(other.user.id)));
    expect(new Set(found.map((each) => each?.id))).toEqual(new Set([other.user.id]));
  });
});
