import bcrypt from 'bcryptjs';
import { describe, expect, test, vi } from 'vitest';
import { newId } from '../../db/ids.ts';
import { inEveryMode, MINUTE, SECOND, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import {
  IN_BODY,
  isAlive,
  login,
  newEmail,
  newPassword,
  newPerson,
  type Person,
  resetBody,
  resetToken,
  signedIn,
} from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** Stores a user whose hash this service would not make itself. */
async function seedUser(app: TestApp, email: string, passwordHash: string | null): Promise<string> {
  const now = app.clock.now();
  const id = newId(now);
  const user = {
    id,
    email,
    emailKey: email.toLowerCase(),
    name: 'Seeded',
    passwordHash,
    isVerified: true,
    verifiedWith: null,
    sessionGeneration: 0,
    resetGeneration: 0,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
  };
  const hex = (digit: string): string => digit.repeat(32) + newId(now) + digit.repeat(8);
  const token = {
    id: newId(now),
    userId: id,
    tokenHash: hex('a'),
    nonce: null,
    createdAt: now,
    expiresAt: now,
    mailDueAt: null,
  };
  const session = {
    id: newId(now),
    userId: id,
    generation: 0,
    tokenHash: hex('b'),
    previousTokenHash: null,
    rotation: 0,
    keyId: 'v1',
    createdAt: now,
    rotatedAt: now,
    idleExpiresAt: new Date(now.getTime() + MINUTE),
    expiresAt: new Date(now.getTime() + MINUTE),
    revokedAt: now,
    revokedReason: 'ended' as const,
    userAgent: null,
  };
  await app.app.repository.createAccount({ user, token, session });
  return id;
}

const hashOf = async (app: TestApp, email: string): Promise<string> =>
  (await app.app.repository.findUserByEmail(email))?.passwordHash ?? '';

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('TC05 login opens a session that the cookies and the access token stand for', async () => {
    const ada = await newPerson(app);
    const client = app.client();
    const body = { email: ada.email, password: ada.password };
    const { user, accessToken, answer } = signedIn(await client.post('/auth/login', body), 200, client);
    expect(user).toMatchObject({ id: ada.id, email: ada.email, isVerified: false });
    expect(answer.body).toEqual({ user, accessToken, tokenType: 'Bearer', expiresIn: 900 });
    expect((await client.get('/auth/me')).body.user).toEqual(user);
    expect((await app.client().get('/auth/me', { bearer: accessToken })).body.user).toEqual(user);
    const { body: list } = await client.get('/auth/sessions');
    expect(list.sessions?.filter(({ current }) => current)).toHaveLength(1);
    expect(list.sessions).toHaveLength(2);
  });

  test('TC05 login takes the e-mail in any letter case and keeps it as it was signed up', async () => {
    const ada = await newPerson(app, { email: newEmail('Ada.Case') });
    for (const email of [ada.email.toUpperCase(), ada.email.toLowerCase()]) {
      expect((await login(app, email, ada.password)).user.email).toBe(ada.email);
    }
  });

  test('TC05 login without a cookie jar gives the refresh token in the body', async () => {
    const ada = await newPerson(app);
    const body = { email: ada.email, password: ada.password };
    const answer = await app.client().post('/auth/login', body, IN_BODY);
    expect(signedIn(answer).refreshToken).toBeTruthy();
    expect(answer.setCookies).toEqual([]);
  });

  test('unknown user, wrong password and a user without a password get the very same 401', async () => {
    const ada = await newPerson(app);
    const passwordless = newEmail('passwordless');
    await seedUser(app, passwordless, null);
    const attempts = [
      { email: newEmail('nobody'), password: 'wrong password' },
      { email: ada.email, password: 'wrong password' },
      { email: ada.email, password: 'short' },
      { email: ada.email, password: `${ada.password} ` },
      { email: passwordless, password: 'wrong password' },
      { email: 'not an e-mail', password: 'x' },
      { email: '', password: 'x' },
    ];
    const answers: Answer[] = [];
    for (const attempt of attempts) answers.push(await app.client().post('/auth/login', attempt));
    const told = answers.map(({ status, body, setCookies, headers }) => {
      const { requestId, ...rest } = body;
      expect(requestId).toBeTruthy();
      return { status, rest, setCookies, type: headers['content-type'] };
    });
    expect(told[0]).toMatchObject({ status: 401, rest: { code: 'invalid_credentials' }, setCookies: [] });
    for (const each of told) expect(each).toEqual(told[0]);
  });

  test('an empty password or none is 400', async () => {
    const email = newEmail();
    for (const body of [
      { email, password: '' },
      { email },
      { password: 'x' },
      { email: null, password: 'x' },
    ]) {
      expect((await app.client().post('/auth/login', body)).status).toBe(400);
    }
  });

  test('logging in again from the same browser ends its former session, and no other', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    const before = ada.client.copy();
    signedIn(
      await ada.client.post('/auth/login', { email: ada.email, password: ada.password }),
      200,
      ada.client,
    );
    expect(await isAlive(ada.client)).toBe(true);
    expect(await isAlive(before)).toBe(false);
    expect(await isAlive(elsewhere.client)).toBe(true);
  });

  test('signing up from a browser that is signed in ends its former session, too', async () => {
    const ada = await newPerson(app);
    const before = ada.client.copy();
    const body = { email: newEmail(), name: 'Other', password: newPassword() };
    signedIn(await ada.client.post('/auth/signup', body), 201, ada.client);
    await eventually(async () => !(await isAlive(before)));
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('a failed login leaves the browser its session and cookies', async () => {
    const ada = await newPerson(app);
    const answer = await ada.client.post('/auth/login', { email: ada.email, password: 'wrong password' });
    expect(answer.status).toBe(401);
    expect(answer.setCookies).toEqual([]);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test("another browser's refresh cookie with a made-up secret ends nothing at login", async () => {
    const ada = await newPerson(app);
    const eve = await newPerson(app);
    const [sessionId] = ada.refreshToken.split('.');
    const body = { email: eve.email, password: eve.password };
    const headers = { cookie: `refresh_token=${sessionId}.${'A'.repeat(43)}` };
    expect((await app.client().post('/auth/login', body, { headers })).status).toBe(200);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('concurrent logins and logouts: every ended session stays ended, every other lives', async () => {
    const ada = await newPerson(app);
    const first = await Promise.all(Array.from({ length: 8 }, () => login(app, ada.email, ada.password)));
    const [second] = await Promise.all([
      Promise.all(Array.from({ length: 8 }, () => login(app, ada.email, ada.password))),
      Promise.all(
        first.map(async ({ client, accessToken }) => {
          expect((await client.post('/auth/logout')).status).toBe(204);
          expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(401);
        }),
      ),
    ]);
    for (const { accessToken } of first) {
      expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(401);
    }
    for (const { client } of second) expect(await isAlive(client)).toBe(true);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('concurrent login and logout in one browser: the former session ends, the new one lives', async () => {
    const ada = await newPerson(app);
    for (let round = 0; round < 5; round += 1) {
      const old = await login(app, ada.email, ada.password);
      const [next, out] = await Promise.all([
        old.client.copy().post('/auth/login', { email: ada.email, password: ada.password }),
        old.client.copy().post('/auth/logout'),
      ]);
      expect(out.status).toBe(204);
      const { accessToken } = signedIn(next, 200, old.client);
      expect((await app.client().get('/auth/me', { bearer: old.accessToken })).status).toBe(401);
      expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(200);
    }
  });

  test('a login that a reset or an erasure overtakes is answered like a wrong password, and ends no session', async () => {
    const { passwords, repository } = app.app;
    const verify = passwords.verify;
    const ends = [
      async ({ email }: Person) => {
        const body = resetBody(await resetToken(app, email), newPassword());
        expect((await app.client().post('/auth/reset-password', body)).status).toBe(200);
      },
      async ({ id: userId }: Person) => {
        const now = app.clock.now();
        expect(await repository.eraseUser({ userId, sessionGeneration: null, now })).toBe('done');
      },
    ];
    for (const end of ends) {
      const [ada, eve] = [await newPerson(app), await newPerson(app)];
      vi.spyOn(passwords, 'verify').mockImplementationOnce(async (...given) => {
        const correct = await verify(...given);
        await end(ada);
        return correct;
      });
      const body = { email: ada.email, password: ada.password };
      const answer = await eve.client.post('/auth/login', body);
      expect([answer.status, answer.body.code]).toEqual([401, 'invalid_credentials']);
      expect(answer.text).not.toContain(ada.email);
      expect(answer.setCookies).toEqual([]);
      expect(await isAlive(eve.client)).toBe(true);
    }
  });

  test('of many logins around a reset, those with the old password are all dead afterwards', async () => {
    const ada = await newPerson(app);
    const token = await resetToken(app, ada.email);
    const changed = newPassword();
    const attempt = (password: string): Promise<Answer> =>
      app.client().post('/auth/login', { email: ada.email, password }, IN_BODY);
    const first = await attempt(ada.password);
    expect(first.status).toBe(200);
    const before = Array.from({ length: 10 }, () => attempt(ada.password));
    const reset = app.client().post('/auth/reset-password', resetBody(token, changed));
    const after = Array.from({ length: 10 }, () => attempt(ada.password));
    expect((await reset).status).toBe(200);
    const old = [first, ...(await Promise.all([...before, ...after]))];
    for (const answer of old) {
      expect([200, 401]).toContain(answer.status);
      const bearer = answer.body.accessToken ?? 'none';
      expect((await app.client().get('/auth/me', { bearer })).status).toBe(401);
    }
    expect((await attempt(ada.password)).status).toBe(401);
    expect(await isAlive((await login(app, ada.email, changed)).client)).toBe(true);
  });

  test('a session ends when it is idle too long, and in any case after its absolute life', async () => {
    const ada = await newPerson(app);
    const { accessTokenTtlMs, sessionIdleMs, sessionAbsoluteMs } = app.config;
    const busy = await login(app, ada.email, ada.password);
    const idle = await login(app, ada.email, ada.password);
    const startedAt = app.clock.now().getTime();
    const steps = Math.floor(sessionAbsoluteMs / (sessionIdleMs - MINUTE));
    for (let step = 0; step < steps; step += 1) {
      app.clock.advance(sessionIdleMs - MINUTE);
      expect((await busy.client.get('/auth/refresh')).status).toBe(200);
    }
    expect((await idle.client.get('/auth/refresh')).status).toBe(401);
    app.clock.advance(startedAt + sessionAbsoluteMs - SECOND - app.clock.now().getTime());
    expect((await busy.client.get('/auth/refresh')).status).toBe(200);
    app.clock.advance(SECOND);
    expect((await busy.client.get('/auth/refresh')).status).toBe(401);
    expect(accessTokenTtlMs).toBe(15 * MINUTE);
  });

  const costly = await startApp(mode, { beside: app, env: { SESSIONS_MAX: '3', BCRYPT_COST: '5' } });

  describe('sessions are bounded', () => {
    const small = costly;

    test('past the bound the least recently used one ends, never the new one', async () => {
      const ada = await newPerson(small);
      const clients = [ada.client];
      for (let more = 0; more < 2; more += 1) {
        small.clock.advance(SECOND);
        clients.push((await login(small, ada.email, ada.password)).client);
      }
      small.clock.advance(SECOND);
      expect((await ada.client.get('/auth/refresh')).status).toBe(200);
      small.clock.advance(SECOND);
      clients.push((await login(small, ada.email, ada.password)).client);
      expect(await Promise.all(clients.map(isAlive))).toEqual([true, false, true, true]);
    });
  });

  describe('another cost', () => {
    test('a hash of lower cost is replaced at the next login, and the password stays good', async () => {
      const ada = await newPerson(app);
      expect(await hashOf(app, ada.email)).toMatch(/\$04\$/);
      await login(costly, ada.email, ada.password);
      await eventually(async () => expect(await hashOf(app, ada.email)).toMatch(/\$05\$/));
      await login(app, ada.email, ada.password);
      expect(await hashOf(app, ada.email)).toMatch(/\$05\$/);
    });

    test('a password that the old service cut is stored whole from the first login on', async () => {
      const email = newEmail('cut');
      const [whole, other] = ['tail', 'tale'].map((end) => `${'x'.repeat(72)}${end}`) as [string, string];
      await seedUser(app, email, await bcrypt.hash(whole, 4));
      await login(costly, email, whole);
      await eventually(async () => expect(await hashOf(app, email)).toMatch(/^\{sha384:/));
      await login(app, email, whole);
      const answer = await app.client().post('/auth/login', { email, password: other });
      expect([answer.status, answer.body.code]).toEqual([401, 'invalid_credentials']);
    });

    test('what bcrypt takes for the password neither signs in nor takes its place', async () => {
      const ada = await newPerson(app);
      const before = await hashOf(app, ada.email);
      const password = `${ada.password}\0${ada.password}`;
      const answer = await costly.client().post('/auth/login', { email: ada.email, password });
      expect([answer.status, answer.body.code]).toEqual([401, 'invalid_credentials']);
      expect(await hashOf(app, ada.email)).toBe(before);
      await login(app, ada.email, ada.password);
    });

    test('that upgrade never undoes a reset that came meanwhile', async () => {
      for (let round = 0; round < 5; round += 1) {
        const ada = await newPerson(app);
        const token = await resetToken(app, ada.email);
        const changed = newPassword();
        const [, , reset] = await Promise.all([
          costly.client().post('/auth/login', { email: ada.email, password: ada.password }),
          costly.client().post('/auth/login', { email: ada.email, password: ada.password }),
          app.client().post('/auth/reset-password', resetBody(token, changed)),
        ]);
        expect(reset.status).toBe(200);
        // Its upgrade comes after those of the logins above, so they are through once it is.
        await login(costly, ada.email, changed);
        await eventually(async () => expect(await hashOf(app, ada.email)).toMatch(/\$05\$/));
        const old = await app.client().post('/auth/login', { email: ada.email, password: ada.password });
        expect(old.status).toBe(401);
        await login(app, ada.email, changed);
      }
    });

    test.each(['$2a$', '$2y$'])(
      'a legacy hash with the prefix %s verifies as plain bcrypt',
      async (prefix) => {
        const email = newEmail('prefix');
        const password = newPassword();
        await seedUser(app, email, (await bcrypt.hash(password, 5)).replace(/^\$2[aby]\$/, prefix));
        await login(app, email, password);
      },
    );
  });

  describe('with REQUIRE_VERIFIED_EMAIL', async () => {
    const strict = await startApp(mode, { beside: app, env: { REQUIRE_VERIFIED_EMAIL: 'true' } });

    test('a login before verification is refused with 403, but only with the right password', async () => {
      const ada = await newPerson(app);
      const attempt = (password: string): Promise<Answer> =>
        strict.client().post('/auth/login', { email: ada.email, password });
      expect((await attempt('wrong password')).body.code).toBe('invalid_credentials');
      const refused = await attempt(ada.password);
      expect([refused.status, refused.body.code]).toEqual([403, 'email_not_verified']);
      const token = await app.inbox.token(ada.email, 'verify-email');
      expect((await strict.client().post('/auth/verify-email', { token })).status).toBe(200);
      expect((await attempt(ada.password)).status).toBe(200);
    });
  });
});
