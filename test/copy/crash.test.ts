/** `kill -9` of PostgreSQL while a copy is at work: the tables it fills first are emptied, and nothing may be missing for it. */
import { ObjectId } from 'bson';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type CopyScope,
  resumeBackfill,
  rollbackBackfill,
  runBackfill,
  verify,
} from '../../cutover/copy/index.ts';
import { sessionAt } from '../contract/replica/records.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { migrateTemplate } from '../support/global-setup.ts';
import { ownPostgres } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';
import { clear, openBench } from './support.ts';

const USERS = 300;
/** What the server does with unlogged tables when it recovers. */
const EMPTY =
  'truncate staging.seal, staging.users, staging.sessions, staging.verification_tokens, staging.password_reset_tokens';
const LATER = new Date(Date.now() + 86_400_000);

describe('a crash of PostgreSQL', { timeout: 60_000 }, async () => {
  const server = await ownPostgres();
  const bench = await openBench({ postgres: await migrateTemplate(server) });
  const users = Array.from({ length: USERS }, () => legacyUser());
  const sessions = users.map(({ _id }) => sessionAt([1, 1], String(_id), { expiresAt: LATER }));
  const tokens = users.map(({ _id }) => {
    return { _id: new ObjectId(), userId: _id, token: `t-${_id}`, createdAt: new Date(), expiresAt: LATER };
  });

  beforeEach(async () => {
    await clear(bench);
    await bench.setMode('dual-write');
    await bench.insert('user', users);
    await bench.insert('resetToken', tokens);
    await bench.stores.mongo.replica.apply('session', sessions, { epoch: 1, expiredBefore: new Date(0) });
  });

  /** One backend is enough: the server then starts anew, and recovers. */
  async function crash(): Promise<void> {
    // So that there is one.
    await bench.postgres.query('select');
    const [backend] = await asSuperuser<{ pid: number }>(
      server.url,
      `select pid from pg_stat_activity where backend_type = 'client backend' and application_name = 'auth-copy'`,
    );
    process.kill(backend?.pid ?? Number.NaN, 'SIGKILL');
    await eventually(
      async () => (await bench.postgres.query('select from staging.users limit 1')).length === 0,
      { timeoutMs: 30_000 },
    );
  }

  /** Does that right before the first statement like this. */
  function meanwhile(statement: RegExp, what: () => Promise<void>): CopyScope {
    let isDue = true;
    const query: CopyScope['postgres']['query'] = async (sql, values) => {
      if (isDue && statement.test(sql)) {
        isDue = false;
        await what();
      }
      return bench.postgres.query(sql, values);
    };
    return { ...bench, postgres: { ...bench.postgres, query } };
  }

  const CHECKS = /create unique index/;
  const MERGE_OF_SESSIONS = /row_number[\s\S]*staging\.sessions/;

  async function expectWhole(): Promise<void> {
    const { users: rows, sessions: live, password_reset_tokens: mailed } = await bench.rows();
    expect([rows, live, mailed].map((each) => each?.length)).toEqual([USERS, USERS, USERS]);
    expect(await verify(bench)).toMatchObject({ clean: true, lagging: 0 });
    expect(await bench.copyState()).toMatchObject({ kind: 'complete' });
  }

  it.each([
    ['while it checks', CHECKS],
    ['between two of its merges', MERGE_OF_SESSIONS],
  ])('%s costs no record', async (_when, statement) => {
    const result = await runBackfill(meanwhile(statement, crash), { from: 'mongo', onBad: 'rollback' });
    expect(result).toMatchObject({ outcome: 'complete', counts: { inserted: 3 * USERS, deferred: 0 } });
    await expectWhole();
  });

  it('while a dry run checks hides nothing that is bad', async () => {
    await bench.insert('user', [legacyUser({ email: 'twin@x.org' }), legacyUser({ email: 'Twin@x.org' })]);
    const emptied = meanwhile(CHECKS, async () => {
      await bench.postgres.query(EMPTY);
    });
    const result = await runBackfill(emptied, { from: 'mongo', onBad: 'rollback', dryRun: true });
    expect(result).toMatchObject({ outcome: 'dry-run', counts: { bad: 2, staged: 3 * USERS + 2 } });
  });

  it('behind the back of a run that was merging costs no record, and what it merged can be taken back', async () => {
    const empty = await bench.rows();
    const died = async () => {
      throw new Error('died');
    };
    const dying = (runId: string) =>
      runBackfill(meanwhile(MERGE_OF_SESSIONS, died), { from: 'mongo', onBad: 'rollback', runId });
    await expect(dying('first')).rejects.toThrow('died');
    await crash();
    expect(await resumeBackfill(bench, 'first')).toMatchObject({ outcome: 'complete' });
    await expectWhole();
    await rollbackBackfill(bench, 'first');

    await expect(dying('second')).rejects.toThrow('died');
    expect((await bench.rows())['users']).toHaveLength(USERS);
    await bench.insert('user', [legacyUser({ email: [] })]);
    await bench.postgres.query(EMPTY);
    const result = await resumeBackfill(bench, 'second');
    expect(result).toMatchObject({ outcome: 'rolled-back', counts: { bad: 1, inserted: 0 } });
    expect(await bench.rows()).toEqual(empty);
    expect(await bench.copyState()).toMatchObject({ kind: 'stale' });
  });
});
