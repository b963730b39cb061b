import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import type { Repository } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import {
  askReset,
  freshHash,
  freshId,
  freshToken,
  later,
  logIn,
  NOW,
  newResetToken,
  newVerificationToken,
  signUp,
} from '../contract/fixtures.ts';
import { newPostgresDatabase, TIMEOUT_MS } from '../support/stores.ts';

interface Sent {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly Plans?: readonly Plan[];
}

/** Enough that the planner has no excuse for reading a table from end to end. */
const USERS = 5_000;

const FILL = `
  insert into users (id, email, email_key, name, password_hash, is_verified, session_generation, reset_generation,
      created_at, updated_at, epoch, version)
    select 'u' || n, n || '@example.org', n || '@example.org', 'Jo', 'x', true, 0, 0, now(), now(), 0, 1
    from generate_series(1, ${USERS}) n;
  insert into verification_tokens (id, user_id, token_hash, created_at, expires_at, mail_due_at, epoch, version)
    select 'v' || n, 'u' || n, encode(sha256(('v' || n)::bytea), 'hex'), now(), now() + n * interval '1 hour',
      case when n % 100 = 0 then now() + n * interval '1 minute' end, 0, 1
    from generate_series(1, ${USERS}) n;
  insert into password_reset_tokens (id, user_id, token_hash, generation, created_at, expires_at, mail_due_at, epoch,
      version)
    select 'r' || n, 'u' || n, encode(sha256(('r' || n)::bytea), 'hex'), 1, now(), now() + n * interval '1 hour',
      case when n % 100 = 0 then now() + n * interval '1 minute' end, 0, 1
    from generate_series(1, ${USERS}) n;
  insert into sessions (id, user_id, generation, token_hash, rotation, key_id, created_at, rotated_at,
      idle_expires_at, expires_at, revoked_at, revoked_reason, epoch, version)
    select 's' || n, 'u' || (n % ${USERS} + 1), 0, encode(sha256(('s' || n)::bytea), 'hex'), 0, 'k', now(), now(),
      now() + interval '1 day', now() + n * interval '1 hour', case when n % 3 = 0 then now() end,
      case when n % 3 = 0 then 'logout' end, 0, 1
    from generate_series(1, ${4 * USERS}) n;
  insert into rate_limits select 'k' || n, 1, now() from generate_series(1, ${USERS}) n;
  insert into cutover_aside (entity, record_id, epoch, version, reason, moved_at, body)
    select case when n % 2 = 0 then 'user' else 'session' end, 'a' || n, 0, 1, 'orphan', now(),
      jsonb_build_object('user_id', 'u' || n)
    from generate_series(1, ${USERS}) n;
  insert into copy_quarantine (entity, record_id, run, state, reasons, document, put_at, owner)
    select 'session', 'q' || n, 'run', 'held', '[]', '{}', now(), 'u' || n from generate_series(1, ${USERS}) n;
  insert into copy_undo (run, entity, record_id, epoch, version, before, owner)
    select 'run', 'session', 's' || n, 0, 1, case when n % 2 = 0 then '{}' end, 'u' || n
    from generate_series(1, ${USERS}) n;
  analyze`;

const MARK = { entity: 'session', id: 's7', stamp: { epoch: 0, version: 1 }, markedAt: NOW } as const;
const TOUCH = { expected: { epoch: 0, version: 1 }, to: { epoch: 1, version: 2 } };

describe('plans', async () => {
  const url = await newPostgresDatabase();
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  let sent: Sent[] = [];
  const store = await openPostgresStore({
    url,
    timeoutMs: TIMEOUT_MS,
    onQuery: (sql, parameters) => sent.push({ sql, parameters }),
  });
  afterAll(async () => {
    await store.close();
    await pool.end();
  });
  await pool.query(FILL);
  const repo = store.at({ epoch: 1, pending: false });

  /** What the operation really sent, transaction control aside. */
  async function statementsOf(run: () => Promise<unknown>): Promise<readonly Sent[]> {
    sent = [];
    await run();
    return sent.filter(({ sql }) => !/^(begin|commit|rollback)$/.test(sql));
  }

  /** Tables that the statement reads from end to end, with its parameters known and as a plan for any. */
  async function scanned({ sql, parameters }: Sent): Promise<readonly string[]> {
    const client = await pool.connect();
    try {
      const tables: string[] = [];
      for (const mode of ['force_custom_plan', 'force_generic_plan']) {
        await client.query('begin');
        await client.query(`set local plan_cache_mode = ${mode}`);
        await client.query(`prepare probe as ${sql}`);
        const values = parameters
          .map((value) => (value === null ? 'null' : client.escapeLiteral(literal(value))))
          .join(', ');
        const call = parameters.length === 0 ? 'probe' : `probe(${values})`;
        const { rows } = await client.query<{ 'QUERY PLAN': readonly { Plan: Plan }[] }>(
          `explain (format json) execute ${call}`,
        );
        const [top] = rows[0]?.['QUERY PLAN'] ?? [];
        if (top !== undefined) tables.push(...scansIn(top.Plan));
        await client.query('deallocate probe');
        await client.query('rollback');
      }
      return tables;
    } finally {
      client.release();
    }
  }

  const operations: readonly (readonly [string, (repo: Repository) => Promise<unknown>])[] = [
    ['createAccount', () => signUp(repo)],
    ['findUser', () => repo.findUser('u7')],
    ['findUserByEmail', () => repo.findUserByEmail('7@example.org')],
    ['upgradeHash', () => repo.upgradeHash({ userId: 'u7', oldHash: 'x', newHash: 'y', now: NOW })],
    [
      'changePassword',
      () =>
        repo.changePassword({
          userId: 'u8',
          sessionGeneration: 0,
          newHash: 'y',
          keepSessionId: 's7',
          now: NOW,
        }),
    ],
    ['eraseUser', () => repo.eraseUser({ userId: 'u9', sessionGeneration: null, now: NOW })],
    ['endSessions', () => repo.endSessions({ userId: 'u10', now: NOW })],
    ['addVerificationToken', () => repo.addVerificationToken(newVerificationToken('u11'))],
    ['findVerificationToken', () => repo.findVerificationToken(freshToken())],
    [
      'verifyEmail',
      async () => repo.verifyEmail({ userId: (await signUp(repo)).user.id, tokenId: 'v', now: NOW }),
    ],
    ['requestReset', () => askReset(repo, 'u12')],
    [
      'requestReset (decoy)',
      () => repo.requestReset({ token: newResetToken(freshId()), decoy: true, now: NOW }),
    ],
    ['findResetToken', () => repo.findResetToken(freshToken())],
    ['consumeReset', () => repo.consumeReset({ userId: 'u13', generation: 0, newHash: 'y', now: NOW })],
    ['openSession', () => logIn(repo, 'u14')],
    [
      'openSession (past the bound)',
      async () => {
        const { user, session } = await signUp(repo);
        const next = { ...session, id: freshId() };
        await repo.openSession({ session: next, replacesId: 's15', sessionsMax: 1, now: NOW });
        return user;
      },
    ],
    ['findSession', () => repo.findSession('s7')],
    ['listSessions', () => repo.listSessions({ userId: 'u7', now: NOW })],
    [
      'rotateSession',
      async () => {
        const { session } = await signUp(repo);
        await repo.rotateSession({
          sessionId: session.id,
          fromHash: session.tokenHash,
          toHash: freshHash(),
          now: NOW,
          idleExpiresAt: later(9),
        });
      },
    ],
    [
      'revokeSession',
      () => repo.revokeSession({ sessionId: 's16', userId: null, reason: 'logout', now: NOW }),
    ],
    ['listDueMail', () => repo.listDueMail({ now: new Date(), limit: 20 })],
    [
      'moveMailDue',
      async () => {
        const token = newVerificationToken('u7', { mailDueAt: NOW });
        await repo.addVerificationToken(token);
        await repo.moveMailDue({
          purpose: 'verificationToken',
          tokenId: token.id,
          from: NOW,
          to: null,
        });
      },
    ],
    ['purge', () => repo.purge({ expiredBefore: new Date(), limit: 100 })],
    ['limits.hit', () => store.limits.hit([{ key: 'k7', capacity: 3, windowMs: 1_000, backoff: null }], NOW)],
    [
      'limits.peek',
      () => store.limits.peek([{ key: 'k7', capacity: 3, windowMs: 1_000, backoff: null }], NOW),
    ],
    ['limits.clear', () => store.limits.clear(['k8'])],
    ['limits.refund', () => store.limits.refund(['k9'])],
    ['replica.read', () => store.replica.read('user', ['u7', 'u8'])],
    ['replica.marks', () => store.replica.marks({ limit: 10, olderThan: NOW, after: MARK })],
    ['replica.countMarks', () => store.replica.countMarks()],
    ['replica.clearMarks', () => store.replica.clearMarks([MARK])],
    ['replica.touch', () => store.replica.touch('user', 'u17', TOUCH)],
    ['replica.scan', () => store.replica.scan('session', { after: 's7', limit: 10 })],
  ];

  it.each(operations)('%s reads no table from end to end', async (_, run) => {
    const statements = await statementsOf(() => run(repo));
    expect(statements.length).toBeGreaterThan(0);
    for (const statement of statements) {
      expect({ sql: statement.sql, scanned: await scanned(statement) }).toEqual({
        sql: statement.sql,
        scanned: [],
      });
    }
  });

  it('findSession is one statement, a rotation two', async () => {
    const { session } = await signUp(repo);
    expect(await statementsOf(() => repo.findSession(session.id))).toHaveLength(1);
    const rotation = {
      sessionId: session.id,
      fromHash: session.tokenHash,
      toHash: freshHash(),
      now: NOW,
      idleExpiresAt: later(9),
    };
    expect(await statementsOf(() => repo.rotateSession(rotation))).toHaveLength(2);
  });

  it('a rotation of a session that was just read is one statement, and out of date it decides nothing', async () => {
    const { session } = await signUp(repo);
    const known = (await repo.findSession(session.id))?.session;
    if (known === undefined) throw new Error('there is no session');
    const [second, third] = [freshHash(), freshHash()];
    const rotate = (fromHash: string, toHash: string) =>
      repo.rotateSession({
        sessionId: session.id,
        known,
        fromHash,
        toHash,
        now: NOW,
        idleExpiresAt: later(9),
      });
    expect(await statementsOf(() => rotate(session.tokenHash, second))).toHaveLength(1);
    // What was read is out of date: the token it names is replaced, so the write over it is lost, and reading decides.
    expect(await statementsOf(() => rotate(session.tokenHash, third))).toHaveLength(2);
    expect(await rotate(session.tokenHash, third)).toBeNull();
    expect((await rotate(second, third))?.rotation).toBe(2);
  });

  it('values travel as parameters, never in the text', async () => {
    const statements = await statementsOf(async () => {
      await signUp(repo, { id: 'secret-id-1', email: 'secret-2@example.org', name: 'secret-3' });
      await repo.findUserByEmail('secret-2@example.org');
      await repo.eraseUser({ userId: 'secret-id-1', sessionGeneration: null, now: NOW });
    });
    expect(JSON.stringify(statements.map(({ sql }) => sql))).not.toContain('secret');
  });

  it('a rotation touches no index, so that it updates the row in place', async () => {
    const { rows } = await pool.query(
      `select indexrelid::regclass from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
       where indrelid = 'sessions'::regclass and attname in
         ('token_hash', 'previous_token_hash', 'rotation', 'rotated_at', 'idle_expires_at', 'version', 'epoch')`,
    );
    expect(rows).toEqual([]);
  });
});

function scansIn(plan: Plan): readonly string[] {
  const below = (plan.Plans ?? []).flatMap(scansIn);
  return plan['Node Type'] === 'Seq Scan' ? [plan['Relation Name'] ?? '?', ...below] : below;
}

/** A parameter as text, the way `pg` sends it. */
function literal(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  if (!Array.isArray(value)) return String(value);
  return `{${value.map((each) => JSON.stringify(literal(each))).join(',')}}`;
}
