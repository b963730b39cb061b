import { describe, expect, onTestFinished, test } from 'vitest';
import { inEveryMode, MINUTE, startApp } from '../support/app.ts';
import { startInbox } from '../support/inbox.ts';
import { durableStoreEnv, productionEnv, startService } from '../support/service.ts';
import { login, newEmail, newPassword, resetBody } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

inEveryMode(async (mode) => {
  const inbox = await startInbox();
  const stalled = await startInbox();
  const env = productionEnv(await durableStoreEnv(mode), inbox);

  describe('an instance killed after its answers and before its mails', async () => {
    stalled.hold();
    const dying = await startService({ ...env, SMTP_URL: stalled.url });
    const email = newEmail('takeover');
    const password = newPassword();

    test(
      'leaves them to another instance, which sends them once, with tokens that work',
      PATIENT,
      async () => {
        expect((await dying.client().post('/auth/signup', { email, name: 'Ada', password })).status).toBe(
          201,
        );
        expect((await dying.client().post('/auth/forgot-password', { email })).status).toBe(202);
        await eventually(() => expect(stalled.held()).toBeGreaterThan(0));
        dying.kill('SIGKILL');
        expect((await dying.exited).signal).toBe('SIGKILL');
        expect([...stalled.mails, ...inbox.mails]).toEqual([]);

        // Two instances start when the mails are due, and find them at once.
        const later = { now: () => new Date(Date.now() + 2 * MINUTE), env: { ...env, LOG_LEVEL: 'silent' } };
        const settings = { ...later, inbox, onEnd: onTestFinished };
        const [app] = await Promise.all([startApp(mode, settings), startApp(mode, settings)]);
        const verification = await inbox.token(email, 'verify-email');
        const reset = await inbox.token(email, 'reset-password');
        expect((await app.client().post('/auth/verify-email', { token: verification })).status).toBe(200);
        const changed = newPassword();
        const body = resetBody(reset, changed);
        expect((await app.client().post('/auth/reset-password', body)).status).toBe(200);
        expect((await login(app, email, changed)).user.isVerified).toBe(true);
        expect(inbox.to(email, 'verify-email')).toHaveLength(1);
        expect(inbox.to(email, 'reset-password')).toHaveLength(1);
      },
    );
  });
});
