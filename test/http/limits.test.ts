import { describe, expect, test } from 'vitest';
import { HOUR, inEveryMode, MINUTE, SECOND, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import {
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

/** Status, code and every header that tells about limits. */
const told = ({ status, body, headers }: Answer) => ({
  status,
  code: body.code,
  limits: Object.fromEntries(
    Object.entries(headers).filter(([name]) => /^(ratelimit|retry-after)/.test(name)),
  ),
});

const wrong = (app: TestApp, email: string): Promise<Answer> =>
  app.client().post('/auth/login', { email, password: 'wrong password' });

function expectLimited(answer: Answer): number {
  expect([answer.status, answer.body.code], answer.text).toEqual([429, 'rate_limited']);
  const retryAfterS = Number(answer.headers['retry-after']);
  expect(retryAfterS).toBeGreaterThan(0);
  expect(answer.headers['ratelimit']).toMatch(/r=0/);
  expect(answer.headers['ratelimit-policy']).toMatch(/q=\d+;\s*w=\d+/);
  return retryAfterS;
}

inEveryMode(async (mode) => {
  const base = await startApp(mode);
  /** Where much is limited, each for itself. */
  const strict = await startApp(mode, {
    beside: base,
    env: {
      LIMIT_LOGIN_ADDRESS: '5/10m',
      LIMIT_TOKEN_ADDRESS: '5/10m',
      LIMIT_MAIL_ACCOUNT: '2/1h',
      LIMIT_PASSWORD_USER: '2/15m',
      TRUST_PROXY: 'loopback',
    },
  });
  /** Where all clients have one address, with counts of its own. */
  const proxyless = await startApp(mode, {
    env: { LIMIT_LOGIN_ADDRESS: '5/10m', LIMIT_SIGNUP_ADDRESS: '3/1h' },
  });

  test('the defaults are generous: 40 wrong passwords in a row are just wrong', async () => {
    const ada = await newPerson(base);
    for (let times = 0; times < 40; times += 1) expect((await wrong(base, ada.email)).status).toBe(401);
    await login(base, ada.email, ada.password);
  });

  describe('failed logins of an account', async () => {
    const app = await startApp(mode, {
      beside: base,
      env: {
        LIMIT_LOGIN_ACCOUNT: '3/1h',
        LIMIT_DELAY_MIN: '10s',
        LIMIT_DELAY_MAX: '60s',
        TRUST_PROXY: 'loopback',
      },
    });
    const twin = await startApp(mode, { beside: app });
    const STRANGE = { headers: { 'x-forwarded-for': '192.0.2.66' } };

    test('past the limit attempts are delayed, more each time; the owner gets in when it is over', async () => {
      const ada = await newPerson(app);
      for (let times = 0; times < 3; times += 1) expect((await wrong(app, ada.email)).status).toBe(401);
      const first = expectLimited(await wrong(app, ada.email));
      expect(first).toBe(10);
      const right = await app
        .client()
        .post('/auth/login', { email: ada.email, password: ada.password }, STRANGE);
      expectLimited(right);
      app.clock.advance(first * SECOND);
      expect((await wrong(app, ada.email)).status).toBe(401);
      const second = expectLimited(await wrong(app, ada.email));
      expect(second).toBeGreaterThan(first);
      expect(second).toBeLessThanOrEqual(60);
      app.clock.advance(second * SECOND);
      await login(app, ada.email, ada.password);
    });

    test('strangers who keep an account full do not keep out who signed in to it from where they are', async () => {
      const ada = await newPerson(app);
      const attempt = (at: TestApp, email: string, password: string, address: string) =>
        at.client().post('/auth/login', { email, password }, { headers: { 'x-forwarded-for': address } });
      const [home, away] = ['198.51.100.7', '203.0.113.7'];
      expect((await attempt(app, ada.email, ada.password, home)).status).toBe(200);
      const unknown = newEmail('unknown');
      for (const email of [ada.email, unknown]) {
        for (const at of [app, twin, app])
          expect((await attempt(at, email, 'wrong password', '192.0.2.66')).status).toBe(401);
      }
      expectLimited(await attempt(twin, ada.email, ada.password, away));
      expectLimited(await attempt(twin, unknown, ada.password, away));
      // A stranger who shares the network learns nothing there either.
      const wrongThere = told(await attempt(twin, ada.email, 'wrong password', home));
      expect(wrongThere).toMatchObject({ status: 429, code: 'rate_limited' });
      expect(told(await attempt(twin, unknown, 'wrong password', home))).toEqual(wrongThere);
      for (const at of [twin, app]) {
        const right = await attempt(at, ada.email, ada.password, home);
        expect(right.status, right.text).toBe(200);
        expect(right.headers).not.toHaveProperty('retry-after');
        expectLimited(await attempt(at, ada.email, ada.password, away));
      }
    });

    test('who signed up is known there, too', async () => {
      const home = { headers: { 'x-forwarded-for': '198.51.100.8' } };
      const body = { email: newEmail(), password: newPassword() };
      const signup = await app.client().post('/auth/signup', { ...body, name: 'Ada' }, home);
      expect(signup.status).toBe(201);
      for (let times = 0; times < 3; times += 1) expect((await wrong(app, body.email)).status).toBe(401);
      // Spaced: who is not known yet has so many attempts and no more.
      await eventually(
        async () => expect((await app.client().post('/auth/login', body, home)).status).toBe(200),
        { intervalMs: 250 },
      );
    });

    test('an owner whose network is new gets in after a reset, which the strangers cannot do', async () => {
      const ada = await newPerson(app);
      const away = { headers: { 'x-forwarded-for': '203.0.113.8' } };
      for (let times = 0; times < 3; times += 1) expect((await wrong(app, ada.email)).status).toBe(401);
      expectLimited(
        await app.client().post('/auth/login', { email: ada.email, password: ada.password }, away),
      );
      const password = newPassword();
      const reset = resetBody(await resetToken(app, ada.email), password);
      expect((await app.client().post('/auth/reset-password', reset, away)).status).toBe(200);
      const right = { email: ada.email, password };
      await eventually(
        async () => expect((await app.client().post('/auth/login', right, away)).status).toBe(200),
        { intervalMs: 250 },
      );
      expectLimited(await app.client().post('/auth/login', right, STRANGE));
    });

    test('a success takes the failures back', async () => {
      const ada = await newPerson(app);
      for (let round = 0; round < 4; round += 1) {
        for (let times = 0; times < 2; times += 1) expect((await wrong(app, ada.email)).status).toBe(401);
        await login(app, ada.email, ada.password);
      }
    });

    test('successful logins are never limited', async () => {
      const ada = await newPerson(app);
      for (let times = 0; times < 10; times += 1) await login(app, ada.email, ada.password);
    });

    test('unknown e-mails are limited identically, in any letter case', async () => {
      const ada = await newPerson(app, { email: newEmail('Limited') });
      const unknown = newEmail('Unknown');
      for (let times = 0; times < 6; times += 1) {
        const spell = (email: string): string => (times % 2 === 0 ? email : email.toUpperCase());
        const known = told(await wrong(app, spell(ada.email)));
        expect(told(await wrong(app, spell(unknown)))).toEqual(known);
        expect(known.status).toBe(times < 3 ? 401 : 429);
        expect(known.limits).toHaveProperty('ratelimit-policy');
      }
    });

    test('the limit holds across instances', async () => {
      const ada = await newPerson(app);
      const answers = [
        await wrong(app, ada.email),
        await wrong(twin, ada.email),
        await wrong(app, ada.email),
        await wrong(twin, ada.email),
      ];
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429]);
    });

    test('of 20 wrong passwords at once no more than the limit are checked', async () => {
      const ada = await newPerson(app);
      const answers = await Promise.all(Array.from({ length: 20 }, () => wrong(app, ada.email)));
      const statuses = answers.map(({ status }) => status);
      expect(statuses.filter((status) => status === 401)).toHaveLength(3);
      expect(statuses.filter((status) => status === 429)).toHaveLength(17);
    });

    test('another account is not affected', async () => {
      const [ada, bob] = [await newPerson(app), await newPerson(app)];
      for (let times = 0; times < 4; times += 1) await wrong(app, ada.email);
      await login(app, bob.email, bob.password);
    });
  });

  describe('failures of an address', () => {
    const app = strict;
    const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });

    test('logins with ever other e-mails are limited, and slide free again', async () => {
      const attempt = () =>
        app.client().post('/auth/login', { email: newEmail(), password: 'x' }, from('192.0.2.1'));
      for (let times = 0; times < 5; times += 1) expect((await attempt()).status).toBe(401);
      const retryAfterS = expectLimited(await attempt());
      expect(retryAfterS).toBeLessThanOrEqual(120);
      app.clock.advance(retryAfterS * SECOND);
      expect((await attempt()).status).toBe(401);
      expectLimited(await attempt());
      const elsewhere = await app
        .client()
        .post('/auth/login', { email: newEmail(), password: 'x' }, from('192.0.2.2'));
      expect(elsewhere.status).toBe(401);
    });

    test('guessed tokens are limited, good ones do not count', async () => {
      const guess = () => app.client().post('/auth/verify-email', { token: 'guess' }, from('192.0.2.3'));
      const ada = await newPerson(app);
      const token = await app.inbox.token(ada.email, 'verify-email');
      for (let times = 0; times < 4; times += 1) expect((await guess()).status).toBe(400);
      expect((await app.client().post('/auth/verify-email', { token }, from('192.0.2.3'))).status).toBe(200);
      expect((await guess()).status).toBe(400);
      expectLimited(await guess());
      const reset = resetBody('guess', newPassword());
      expectLimited(await app.client().post('/auth/reset-password', reset, from('192.0.2.3')));
    });

    test('refresh tokens that a session does not know are limited, its own are not; a logout stays possible', async () => {
      const ada = await newPerson(app);
      const [sessionId = ''] = ada.refreshToken.split('.');
      const headers = { 'x-forwarded-for': '192.0.2.4' };
      const refresh = (bearer: string) => app.client().get('/auth/refresh', { bearer, headers });
      const guess = `${sessionId}.${'A'.repeat(43)}`;
      for (let times = 0; times < 4; times += 1) expect((await refresh(guess)).status).toBe(401);
      const second = signedIn(await refresh(ada.refreshToken));
      const third = signedIn(await refresh(second.refreshToken));
      expect((await refresh(guess)).status).toBe(401);
      expectLimited(await refresh(guess));
      const { refreshToken, accessToken } = signedIn(await refresh(third.refreshToken));
      const logout = (bearer: string) => app.client().post('/auth/logout', undefined, { bearer, headers });
      expect((await logout(guess)).status).toBe(204);
      expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(200);
      expect((await logout(refreshToken)).status).toBe(204);
      expect((await app.client().get('/auth/me', { bearer: accessToken })).status).toBe(401);
    });

    test('forwarded addresses are not believed without TRUST_PROXY', async () => {
      for (let times = 0; times < 5; times += 1) {
        const body = { email: newEmail(), password: 'x' };
        const answer = await proxyless.client().post('/auth/login', body, from(`198.51.100.${times}`));
        expect(answer.status).toBe(401);
      }
      const body = { email: newEmail(), password: 'x' };
      expectLimited(await proxyless.client().post('/auth/login', body, from('198.51.100.99')));
    });
  });

  describe('signups of an address', () => {
    const app = proxyless;

    test('are limited, so that 409 cannot be asked for ever', async () => {
      const ada = await newPerson(app);
      const signup = (email: string) =>
        app.client().post('/auth/signup', { email, name: 'x', password: newPassword() });
      expect((await signup(ada.email)).status).toBe(409);
      expect((await signup(ada.email)).status).toBe(409);
      const known = told(await signup(ada.email));
      expect(known).toMatchObject({ status: 429, code: 'rate_limited' });
      expect(told(await signup(newEmail()))).toEqual(known);
    });
  });

  describe('mails', () => {
    const app = strict;

    test.each(['/auth/forgot-password', '/auth/resend-verification'])(
      '%s is limited per e-mail, known or not',
      async (path) => {
        const ada = await newPerson(app);
        const unknown = newEmail('unknown');
        for (let times = 0; times < 4; times += 1) {
          const known = told(await app.client().post(path, { email: ada.email }));
          expect(told(await app.client().post(path, { email: unknown }))).toEqual(known);
          expect(known.status).toBe(times < 2 ? 202 : 429);
        }
        app.clock.advance(31 * MINUTE);
        expect((await app.client().post(path, { email: ada.email.toUpperCase() })).status).toBe(202);
      },
    );
  });

  describe('mails that nobody asked for', () => {
    const app = strict;
    async function heldBack(): Promise<number> {
      const { text } = await app.client().get('/metrics');
      return Number(/rate_limit_refused_total\{limit="notice-account"\} (\d+)/.exec(text)?.[1] ?? 0);
    }

    test('are few for one address, however often a password changes or an account comes and goes', async () => {
      const before = await heldBack();
      const ada = await newPerson(app);
      await app.inbox.mail(ada.email, 'verify-email');
      let password = ada.password;
      for (let times = 0; times < 4; times += 1) {
        const changed = newPassword();
        const body = { currentPassword: password, newPassword: changed };
        expect((await ada.client.post('/auth/change-password', body)).status).toBe(200);
        password = changed;
      }
      await eventually(async () => expect(await heldBack()).toBe(before + 3));
      await app.inbox.mail(ada.email, 'notice');
      expect(app.inbox.to(ada.email, 'notice')).toHaveLength(1);

      expect((await ada.client.delete('/auth/me', { password })).status).toBe(204);
      const again = await newPerson(app, { email: ada.email });
      await eventually(async () => expect(await heldBack()).toBe(before + 4));
      expect(app.inbox.to(ada.email, 'verify-email')).toHaveLength(1);
      // It is settled: no instance takes over what was not to be sent.
      await eventually(async () => {
        const due = await app.app.repository.listDueMail({
          now: new Date(app.clock.now().getTime() + HOUR),
          limit: 1_000,
        });
        expect(due.filter(({ token }) => token.userId === again.id)).toEqual([]);
      });
      // Asking for it is another matter.
      expect((await app.client().post('/auth/resend-verification', { email: ada.email })).status).toBe(202);
      await app.inbox.mail(ada.email, 'verify-email', 2);
    });
  });

  describe('wrong current passwords', () => {
    const app = strict;

    test('are limited per user, at change and deletion together', async () => {
      const ada = await newPerson(app);
      const change = { currentPassword: 'wrong password', newPassword: newPassword() };
      expect((await ada.client.post('/auth/change-password', change)).status).toBe(401);
      expect((await ada.client.delete('/auth/me', { password: 'wrong password' })).status).toBe(401);
      expectLimited(await ada.client.post('/auth/change-password', change));
      expectLimited(await ada.client.delete('/auth/me', { password: ada.password }));
      expect((await ada.client.get('/auth/me')).status).toBe(200);
    });
  });

  describe('a full hashing queue', async () => {
    const app = await startApp(mode, {
      beside: base,
      env: { HASH_QUEUE_MAX: '1', HASH_THREADS: '1', BCRYPT_COST: '9' },
    });
    const isRefused = ({ status }: Answer) => status === 503;

    /** Asks 16 times at once, over and over until that was too much: how soon they arrive is up to the machine. */
    async function untilOverloaded(
      burst: (atOnce: (ask: () => Promise<Answer>) => Promise<readonly Answer[]>) => Promise<void>,
    ): Promise<void> {
      let refused = false;
      while (!refused) {
        await burst(async (ask) => {
          const answers = await Promise.all(Array.from({ length: 16 }, ask));
          refused = answers.some(isRefused);
          return answers;
        });
      }
    }

    test('answers 503 with Retry-After, and serves again afterwards', async () => {
      const ada = await newPerson(app);
      const body = { email: ada.email, password: ada.password };
      await untilOverloaded(async (atOnce) => {
        const answers = await atOnce(() => app.client().post('/auth/login', body));
        expect(answers.map(({ status }) => status)).toContain(200);
        for (const { status, body } of answers)
          expect([status, body.code]).toEqual(
            status === 200 ? [200, undefined] : [503, 'hashing_overloaded'],
          );
      });
      await login(app, ada.email, ada.password);
    });

    test('nor is a signup that gets a 503', async () => {
      const { email } = await newPerson(app);
      const signup = () => app.client().post('/auth/signup', { email, name: 'Ada', password: newPassword() });
      const left = async () => Number(/;r=(\d+);/.exec(String((await signup()).headers['ratelimit']))?.[1]);
      await untilOverloaded(async (atOnce) => {
        const before = await left();
        const answers = await atOnce(signup);
        const checked = answers.filter(({ status }) => status === 409).length;
        expect(answers.filter(isRefused)).toHaveLength(16 - checked);
        expect(await left()).toBe(before - checked - 1);
      });
    });

    test('a 503 is no failure of who asked: it does not count', async () => {
      const body = { password: 'wrong password' };
      const login = (ada: Person) => app.client().post('/auth/login', { email: ada.email, ...body });
      const deletion = (ada: Person) => ada.client.copy().delete('/auth/me', body);
      for (const [attempt, capacity] of [
        [login, 100],
        [deletion, 30],
      ] as const) {
        await untilOverloaded(async (atOnce) => {
          const ada = await newPerson(app);
          const answers = await atOnce(() => attempt(ada));
          const checked = answers.filter(({ status }) => status === 401).length;
          expect(answers.filter(isRefused)).toHaveLength(16 - checked);
          const { headers } = await attempt(ada);
          expect(headers['ratelimit']).toContain(`;r=${capacity - checked - 1};`);
        });
      }
    });
  });
});
