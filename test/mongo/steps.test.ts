import { describe, expect, it } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import {
  NOW,
  newAccount,
  newResetToken,
  newSession,
  parallel,
  signUp,
  userOf,
} from '../contract/fixtures.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { newMongoDatabase, openMongo } from '../support/stores.ts';
import { eventually } from '../support/wait.ts';

const CONTEXT = { epoch: 1, pending: false };

describe('an operation of several writes', async () => {
  const { store } = await openMongo();
  const repo = store.at(CONTEXT);

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
    const url = newMongoDatabase();
    const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
    const behind = await openMongoStore({
      url: proxy.through(url),
      timeoutMs: 500,
      emailKeyPass: false,
    });
    // The network goes the moment the first write has been answered.
    const cutting = behind.at({ ...CONTEXT, onWrite: () => proxy.cut() });
    const plain = behind.at(CONTEXT);
    await behind.migrate(() => {});
    const { user, session } = await signUp(plain);
    const change = {
      userId: user.id,
      sessionGeneration: 0,
      newHash: 'h',
      keepSessionId: session.id,
      now: NOW,
    };
    const opening = { session: newSession(user.id), replacesId: session.id, sessionsMax: 5, now: NOW };
    const operations = [
      () => cutting.changePassword(change),
      () => cutting.openSession(opening),
      () => cutting.createAccount(newAccount()),
      () => cutting.requestReset({ token: newResetToken(user.id), decoy: false, now: NOW }),
      () => cutting.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW }),
    ];
    for (const operation of operations) {
      await expect(operation()).rejects.toMatchObject({ name: 'StoreUnavailable', outcome: 'unknown' });
      proxy.heal();
      await eventually(() => behind.ping());
    }
    await parallel(2, () => behind.ping());
    await behind.close();
    await proxy.close();
  });
});
