import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { parseAuthSecrets } from '../../plugins/keys/auth-secrets.ts';
import { createKeyring } from '../../plugins/keys/keyring.ts';
import { makeMailedToken } from '../../src/auth/service/mail-tokens.ts';
import { HTTP_MODES, MINUTE, startApp, type TestApp } from '../support/app.ts';
import { startInbox } from '../support/inbox.ts';
import { durableStoreEnv, productionEnv, startService } from '../support/service.ts';
import { ownPostgres } from '../support/stores.ts';
import { login, newEmail, newPassword, newPerson, type Person, resetBody } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** A mail that is due, promised so long ago, under this secret, by an instance that is no more. */
function promise(app: TestApp, person: Person, agoMs: number, secrets = app.env['AUTH_SECRETS'] ?? '') {
  const keyring = createKeyring(parseAuthSecrets(secrets));
  const now = new Date(app.clock.now().getTime() - agoMs);
  const { config } = app;
  return app.app.repository.addVerificationToken(
    makeMailedToken({ keyring, config }, 'verificationToken', person.id, now),
  );
}

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 240_000 };

const server = await ownPostgres();

// Side by side: most of it is waiting for the next sweep.
describe.concurrent.each(HTTP_MODES)('%s', async (mode) => {
  const inbox = await startInbox();
  const stalled = await startInbox();
  const env = productionEnv(await durableStoreEnv(mode, server), inbox);

  describe('an instance killed after its answers and before its mails', async () => {
    stalled.hold();
    const dying = await startService({ ...env, SMTP_URL: stalled.url });
    const email = newEmail('takeover');
    const password = newPassword();

    test(
      'leaves them to another instance, which sends them once, with tokens that work',
      PATIENT,
      async ({ onTestFinished }) => {
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

describe.concurrent('an instance that does not know the secret a mail was promised under', async () => {
  const app = await startApp('postgres-only');
  const both = `v2:${randomBytes(32).toString('base64url')},${app.env['AUTH_SECRETS']}`;

  test(
    'leaves it, however many there are, to one that does, and sends its own',
    PATIENT,
    async ({ onTestFinished }) => {
      const [ada, bob] = [await newPerson(app), await newPerson(app)];
      await app.inbox.mail(ada.email, 'verify-email');
      await app.inbox.mail(bob.email, 'verify-email');
      for (let nth = 0; nth < 51; nth += 1) await promise(app, ada, 2 * MINUTE, both);
      await promise(app, bob, MINUTE);
      await app.inbox.mail(bob.email, 'verify-email', 2);
      expect(await app.app.metrics.registry.metrics()).toMatch(/^mails_without_key 51$/m);
      expect(app.inbox.to(ada.email, 'verify-email')).toHaveLength(1);

      await startApp('postgres-only', { beside: app, env: { AUTH_SECRETS: both }, onEnd: onTestFinished });
      const token = await app.inbox.token(ada.email, 'verify-email', 2);
      expect((await app.client().post('/auth/verify-email', { token })).status).toBe(200);
    },
  );
});

describe.concurrent('mails that the server of their receiver puts off', async () => {
  const app = await startApp('postgres-only');

  test('keep no others waiting, and come less and less often', PATIENT, async () => {
    const [ada, bob] = [await newPerson(app), await newPerson(app)];
    for (const { email } of [ada, bob]) await app.inbox.mail(email, 'verify-email');
    app.inbox.putOff(ada.email);
    for (let nth = 0; nth < 10; nth += 1) await promise(app, ada, 2 * MINUTE);
    await promise(app, bob, MINUTE);
    // One after the other they would take twice as long, and bob's comes after ada's.
    await eventually(() => expect(app.inbox.to(bob.email, 'verify-email')).toHaveLength(2), {
      timeoutMs: 60_000,
    });
    expect(app.inbox.to(ada.email, 'verify-email')).toHaveLength(1);
    // They may wait as long again.
    const dueIn = async (ms: number) => {
      const now = new Date(app.clock.now().getTime() + ms);
      const due = await app.app.repository.listDueMail({ now, limit: 100 });
      return due.filter(({ token }) => token.userId === ada.id).length;
    };
    expect([await dueIn(2 * MINUTE - 1), await dueIn(2 * MINUTE)]).toEqual([0, 10]);
  });
});
