import { expect, test } from 'vitest';
import { purgeExpired } from '../../src/auth/service/retention.ts';
import { later, logIn, NOW, newVerificationToken, signUp } from '../contract/fixtures.ts';
import { openPostgres } from '../support/stores.ts';

const { store } = await openPostgres();
const repo = store.at({ epoch: 1, pending: false });

/** Expired sessions and tokens, unevenly many of each. */
async function addExpired() {
  const { user } = await signUp(repo);
  const expiresAt = later(-1);
  for (let index = 0; index < 7; index += 1) {
    await logIn(repo, user.id, { expiresAt, idleExpiresAt: expiresAt });
    if (index < 3) await repo.addVerificationToken(newVerificationToken(user.id, { expiresAt }));
  }
}

const left = () => repo.purge({ expiredBefore: NOW, limit: 100 });
const NONE = { verificationTokens: 0, resetTokens: 0, sessions: 0 };

test('one sweep leaves nothing that is past retention, however much there is', async () => {
  await addExpired();
  await purgeExpired(repo, { expiredBefore: NOW, batch: 2 }, new AbortController().signal);
  expect(await left()).toEqual(NONE);
});

test('a sweep ends between two batches when the service stops', async () => {
  await addExpired();
  const closing = new AbortController();
  const purge: typeof repo.purge = (query) => {
    closing.abort();
    return repo.purge(query);
  };
  await purgeExpired({ purge }, { expiredBefore: NOW, batch: 2 }, closing.signal);
  expect(await left()).toEqual({ ...NONE, verificationTokens: 1, sessions: 5 });
});
