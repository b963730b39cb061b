import mongoose from 'mongoose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMITTED, createFirmReads, LATEST } from '../../db/mongo/firm-reads.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { NOW, newAccount } from '../contract/fixtures.ts';
import { createLagProxy, type LagProxy } from '../support/lag-proxy.ts';
import { newMongoDatabase, TIMEOUT_MS } from '../support/stores.ts';
import { mongoCommand } from '../support/wire.ts';

const CONTEXT = { epoch: 1, pending: true };

describe('reads of records', () => {
  let proxy: LagProxy;
  let store: Store;
  const asked: string[] = [];

  beforeAll(async () => {
    const url = newMongoDatabase();
    proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    store = await openMongoStore({ url: proxy.through(url), timeoutMs: TIMEOUT_MS, emailKeyPass: false });
    await store.migrate(() => {});
    // It only listens.
    void proxy.holdNext((sent) => {
      if (mongoCommand(sent) === 'find') asked.push(sent.toString('latin1'));
      return false;
    });
  });
  afterAll(async () => {
    await store.close();
    await proxy.close();
  });

  it('see nothing that a failover could roll back', async () => {
    const account = newAccount();
    const { user, session, token } = account;
    const repo = store.at(CONTEXT);
    await repo.createAccount(account);
    await repo.findUser(user.id);
    await repo.findUserByEmail(user.email ?? '');
    await repo.findSession(session.id);
    await repo.listSessions({ userId: user.id, now: NOW });
    await repo.findVerificationToken({ clear: 'none', hash: token.tokenHash });
    await repo.revokeSession({ sessionId: session.id, userId: null, reason: 'logout', now: NOW });
    await store.replica.read('session', [session.id]);
    await store.replica.scan('session', { after: null, limit: 10 });
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.filter((sent) => !/readConcern.*level.*majority/s.test(sent))).toEqual([]);
  });
});

describe('a server without such a read', () => {
  const refusal = (code: number) => new mongoose.mongo.MongoServerError({ code, message: 'no' });

  /** Answers at the levels it knows, with the level it was asked at. */
  function serverOf(known: readonly (string | null)[], levels: typeof LATEST) {
    const tried: (string | null)[] = [];
    const firmly = createFirmReads((operation) => operation({ maxTimeMS: 5 } as never), levels);
    const read = () =>
      firmly(async (_, { readConcern }) => {
        const level = (readConcern as { readonly level: string } | undefined)?.level ?? null;
        tried.push(level);
        if (!known.includes(level)) throw refusal(148);
        return level;
      });
    return { read, tried, firmly };
  }

  it.each([
    { levels: LATEST, known: ['majority', null], answers: 'majority', refused: ['linearizable'] },
    { levels: LATEST, known: [null], answers: null, refused: ['linearizable', 'majority'] },
    { levels: COMMITTED, known: [null], answers: null, refused: ['majority'] },
  ])(
    'is asked at $answers after it has refused $refused, once',
    async ({ levels, known, answers, refused }) => {
      const { read, tried } = serverOf(known, levels);
      expect(await read()).toBe(answers);
      expect(await read()).toBe(answers);
      expect(tried).toEqual([...refused, answers, answers]);
    },
  );

  it('is not taken for one because it refuses the question', async () => {
    const { read, firmly, tried } = serverOf(['majority', null], COMMITTED);
    await expect(firmly(() => Promise.reject(refusal(2)))).rejects.toMatchObject({ code: 2 });
    expect(await read()).toBe('majority');
    expect(tried).toEqual(['majority']);
  });
});
