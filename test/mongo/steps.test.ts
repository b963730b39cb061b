import { describe, expect, it, onTestFinished } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Repository } from '../../db/port.ts';
import { NOW, newAccount, newResetToken, newSession, signUp, userOf } from '../contract/fixtures.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { openMongo, TIMEOUT_MS } from '../support/stores.ts';
import { isMongoWrite } from '../support/wire.ts';

const CONTEXT = { epoch: 1, pending: false };

describe('an operation of several writes', async () => {
  const { store, url } = await openMongo();
  const repo = store.at(CONTEXT);

  /** The same database, behind a network of its own. */
  async function openBehind() {
    const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    const behind = await openMongoStore({
      url: proxy.through(url),
      timeoutMs: TIMEOUT_MS,
      emailKeyPass: false,
    });
    onTestFinished(async () => {
      await behind.close();
      await proxy.close();
    });
    return { behind, proxy };
  }

  it('is asked again about a write that it tries anew because it lost a race', async () => {
    const { user } = await signUp(repo);
    let hasWritten = false;
    const asking = store.at({
      ...CONTEXT,
      mayContinue: () => !hasWritten,
      onWrite: () => {
        hasWritten = true;
      },
    });
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, () =>
        asking.requestReset({ token: newResetToken(user.id), decoy: false, now: NOW }),
      ),
    );
    const outcomes = results.map((result) => (result.status === 'rejected' ? result.reason.outcome : 'done'));
    const raised = (await userOf(repo, user.id)).resetGeneration;
    expect(raised).toBeGreaterThan(0);
    expect(raised).toBeLessThan(6);
    // Those that won stopped before their second write, the others before their second attempt.
    expect(outcomes.toSorted()).toEqual([
      ...Array.from({ length: 6 - raised }, () => 'none'),
      ...Array.from({ length: raised }, () => 'unknown'),
    ]);
  });

  it('never says that nothing was done once its first write is there', async () => {
    const { user, session } = await signUp(repo);
    const change = {
      userId: user.id,
      sessionGeneration: 0,
      newHash: 'h',
      keepSessionId: session.id,
      now: NOW,
    };
    const opening = { session: newSession(user.id), replacesId: session.id, sessionsMax: 5, now: NOW };
    const operations: readonly ((cutting: Repository) => Promise<unknown>)[] = [
      (cutting) => cutting.changePassword(change),
      (cutting) => cutting.openSession(opening),
      (cutting) => cutting.createAccount(newAccount()),
      (cutting) => cutting.requestReset({ token: newResetToken(user.id), decoy: false, now: NOW }),
      (cutting) => cutting.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
    ];
    for (const operation of operations) {
      const { behind, proxy } = await openBehind();
      // The network goes the moment the first write has been answered.
      const cutting = behind.at({ ...CONTEXT, onWrite: () => proxy.cut() });
      await expect(operation(cutting)).rejects.toMatchObject({
        name: 'StoreUnavailable',
        outcome: 'unknown',
      });
    }
  });

  it('moves nothing aside that is not in the log yet', async () => {
    const { user } = await signUp(repo);
    const { behind, proxy } = await openBehind();
    const isLost = proxy.loseNextReplyAfterCommit(isMongoWrite);
    const move = { expected: { epoch: 1, version: 1 }, reason: 'orphan', now: NOW };
    const moving = behind.replica.moveAside('user', user.id, move);
    await expect(moving).rejects.toMatchObject({ name: 'StoreUnavailable', outcome: 'unknown' });
    expect(await isLost).toBe(true);
    expect(await repo.findUser(user.id)).not.toBeNull();
    expect((await store.replica.asides({ limit: 5 })).map(({ id }) => id)).toEqual([user.id]);
  });
});
