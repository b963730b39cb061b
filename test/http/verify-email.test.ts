import { describe, expect, test } from 'vitest';
import { HOUR, inEveryMode, startApp } from '../support/app.ts';
import { removeUser } from '../support/repository.ts';
import { newEmail, newPerson } from '../support/users.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);
  const verify = (token: string) => app.client().post('/auth/verify-email', { token });

  test('TC03 the mailed token verifies the user, who sees it at once', async () => {
    const ada = await newPerson(app);
    const token = await app.inbox.token(ada.email, 'verify-email');
    const answer = await verify(token);
    expect([answer.status, answer.body]).toEqual([200, { isVerified: true }]);
    expect(answer.setCookies).toEqual([]);
    expect((await ada.client.get('/auth/me')).body.user?.isVerified).toBe(true);
    expect((await ada.client.get('/auth/refresh')).body.user?.isVerified).toBe(true);
  });

  test('a token works once: used or unknown is 400', async () => {
    const ada = await newPerson(app);
    const token = await app.inbox.token(ada.email, 'verify-email');
    expect((await verify(token)).status).toBe(200);
    for (const wrong of [token, `${token}x`, 'unknown', `sha256:${'0'.repeat(64)}`]) {
      const answer = await verify(wrong);
      expect([answer.status, answer.body.code]).toEqual([400, 'token_invalid']);
    }
  });

  test('20 uses at once of one token: exactly one gets 200, all others 400', async () => {
    const ada = await newPerson(app);
    const token = await app.inbox.token(ada.email, 'verify-email');
    const answers = await Promise.all(Array.from({ length: 20 }, () => verify(token)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 19 }, () => 400)]);
  });

  test('a token is good for 24 hours, and is 410 from then on', async () => {
    const [ada, bob] = [await newPerson(app), await newPerson(app)];
    const adas = await app.inbox.token(ada.email, 'verify-email');
    const bobs = await app.inbox.token(bob.email, 'verify-email');
    app.clock.advance(24 * HOUR - 1);
    expect((await verify(adas)).status).toBe(200);
    app.clock.advance(1);
    const late = await verify(bobs);
    expect([late.status, late.body.code]).toEqual([410, 'token_expired']);
    expect((await verify(adas)).status).toBe(400);
  });

  test.each(['erased', 'removed'] as const)('missing user: 404 when its user was %s', async (how) => {
    const ada = await newPerson(app);
    const token = await app.inbox.token(ada.email, 'verify-email');
    if (how === 'removed') await removeUser(app, ada.id);
    else expect((await ada.client.delete('/auth/me', { password: ada.password })).status).toBe(204);
    const answer = await verify(token);
    expect([answer.status, answer.body.code]).toEqual([404, 'user_gone']);
  });

  test('the order of refusals: used before expired, expired before a user who is gone', async () => {
    const [used, gone] = [await newPerson(app), await newPerson(app)];
    const usedToken = await app.inbox.token(used.email, 'verify-email');
    const goneToken = await app.inbox.token(gone.email, 'verify-email');
    expect((await verify(usedToken)).status).toBe(200);
    await removeUser(app, gone.id);
    expect((await verify(goneToken)).status).toBe(404);
    app.clock.advance(24 * HOUR);
    expect((await verify(usedToken)).status).toBe(400);
    expect((await verify(goneToken)).status).toBe(410);
  });

  test('a used token stays 400 after its user was erased', async () => {
    const ada = await newPerson(app);
    const token = await app.inbox.token(ada.email, 'verify-email');
    await verify(token);
    await ada.client.delete('/auth/me', { password: ada.password });
    expect((await verify(token)).status).toBe(400);
  });

  test('an empty token, none, or one that is no string is 400 by its schema', async () => {
    for (const body of [{ token: '' }, {}, { token: 7 }, { token: { $gt: '' } }, { token: ['x'] }]) {
      const answer = await app.client().post('/auth/verify-email', body);
      expect([answer.status, answer.body.code]).toEqual([400, 'validation_failed']);
      expect(answer.body.issues?.[0]?.path).toEqual(['token']);
    }
  });

  test('a reset token does not verify an e-mail, and a verification token resets no password', async () => {
    const ada = await newPerson(app);
    await app.client().post('/auth/forgot-password', { email: ada.email });
    const reset = await app.inbox.token(ada.email, 'reset-password');
    expect((await verify(reset)).status).toBe(400);
    const token = await app.inbox.token(ada.email, 'verify-email');
    const body = { token, password: 'long enough', confirmPassword: 'long enough' };
    expect((await app.client().post('/auth/reset-password', body)).status).toBe(400);
  });

  describe('resend-verification', () => {
    test('mails one more link to the signed-in user; earlier ones stay good', async () => {
      const ada = await newPerson(app);
      const first = await app.inbox.token(ada.email, 'verify-email');
      const answer = await ada.client.post('/auth/resend-verification');
      expect([answer.status, answer.body]).toEqual([202, { accepted: true }]);
      const second = await app.inbox.token(ada.email, 'verify-email', 2);
      expect(second).not.toBe(first);
      expect((await verify(first)).status).toBe(200);
      expect((await verify(second)).status).toBe(400);
    });

    test('needs no session when the body names the e-mail, in any letter case', async () => {
      const ada = await newPerson(app);
      await app.client().post('/auth/resend-verification', { email: ada.email.toUpperCase() });
      const token = await app.inbox.token(ada.email, 'verify-email', 2);
      expect((await verify(token)).status).toBe(200);
    });

    test('answers the same for an unknown and for a verified e-mail, and mails neither', async () => {
      const [ada, bob] = [await newPerson(app), await newPerson(app)];
      await verify(await app.inbox.token(ada.email, 'verify-email'));
      const unknown = newEmail('nobody');
      for (const email of [unknown, ada.email, bob.email]) {
        const answer = await app.client().post('/auth/resend-verification', { email });
        expect([answer.status, answer.body]).toEqual([202, { accepted: true }]);
      }
      await app.inbox.mail(bob.email, 'verify-email', 2);
      expect(app.inbox.to(unknown, 'verify-email')).toEqual([]);
      expect(app.inbox.to(ada.email, 'verify-email')).toHaveLength(1);
    });

    test('without a body and without a session it is 401', async () => {
      for (const json of [undefined, {}]) {
        const answer = await app.client().post('/auth/resend-verification', json);
        expect([401, 400]).toContain(answer.status);
      }
      expect((await app.client().post('/auth/resend-verification')).status).toBe(401);
    });
  });
});
