import { expect, test } from 'vitest';
import { inEveryMode, SECOND, startApp, unique } from '../support/app.ts';
import {
  IN_BODY,
  isAlive,
  login,
  newPassword,
  newPerson,
  resetBody,
  resetToken,
  signedIn,
} from '../support/users.ts';
import { eventually } from '../support/wait.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('me, sessions, change-password and deletion need a session', async () => {
    const client = app.client();
    const answers = [
      await client.get('/auth/me'),
      await client.get('/auth/sessions'),
      await client.delete('/auth/sessions/0123456789abcdef01234567'),
      await client.post('/auth/change-password', { currentPassword: 'x', newPassword: 'long enough' }),
      await client.delete('/auth/me', { password: 'x' }),
      await client.get('/auth/me', { bearer: 'garbage' }),
      await client.get('/auth/me', { headers: { cookie: 'access_token=garbage' } }),
    ];
    for (const { status, body } of answers) expect([status, body.code]).toEqual([401, 'unauthenticated']);
  });

  test('sessions lists where the user is signed in, the last used first, and tells which is this one', async () => {
    const ada = await newPerson(app);
    app.clock.advance(SECOND);
    const client = app.client();
    const body = { email: ada.email, password: ada.password };
    const agent = 'Mozilla/5.0 (Example; rv:1.0) <b>'.padEnd(400, 'x');
    signedIn(await client.post('/auth/login', body, { headers: { 'user-agent': agent } }), 200, client);
    app.clock.advance(SECOND);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
    const { sessions } = (await client.get('/auth/sessions')).body;
    expect(sessions?.map(({ current, userAgent }) => [current, userAgent])).toEqual([
      [false, null],
      [true, agent.slice(0, 256)],
    ]);
    const [first] = sessions ?? [];
    expect(Date.parse(first?.lastUsedAt ?? '')).toBe(app.clock.now().getTime());
    expect(Date.parse(first?.createdAt ?? '')).toBe(app.clock.now().getTime() - 2 * SECOND);
    expect(Date.parse(first?.expiresAt ?? '')).toBe(app.clock.now().getTime() + app.config.sessionIdleMs);
  });

  test('a user ends one of the own sessions, and the own current one, whose cookies then go', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    const list = (await ada.client.get('/auth/sessions')).body.sessions ?? [];
    const theirs = list.find(({ current }) => !current)?.id;
    const own = list.find(({ current }) => current)?.id;
    const ended = await ada.client.delete(`/auth/sessions/${theirs}`);
    expect([ended.status, ended.setCookies]).toEqual([204, []]);
    expect(await isAlive(elsewhere.client)).toBe(false);
    const again = await ada.client.delete(`/auth/sessions/${theirs}`);
    expect([again.status, again.body.code]).toEqual([404, 'session_not_found']);
    expect((await ada.client.delete(`/auth/sessions/${own}`)).setCookies).toHaveLength(2);
    expect(ada.client.cookies.size).toBe(0);
  });

  test("another user's session is 404 and lives on", async () => {
    const [ada, eve] = [await newPerson(app), await newPerson(app)];
    const id = (await ada.client.get('/auth/sessions')).body.sessions?.[0]?.id;
    expect((await eve.client.delete(`/auth/sessions/${id}`)).status).toBe(404);
    expect(await isAlive(ada.client)).toBe(true);
  });

  test.each(['nonsense', '0'.repeat(24), '%24gt', '~bAAAA', 'a%27--', "x'%20or%20'1'='1"])(
    'a session id such as %s is 404',
    async (id) => {
      const ada = await newPerson(app);
      expect((await ada.client.delete(`/auth/sessions/${id}`)).status).toBe(404);
    },
  );

  test('a session id with NUL or of endless length is 400', async () => {
    const ada = await newPerson(app);
    for (const id of ['a%00b', 'x'.repeat(65)]) {
      expect((await ada.client.delete(`/auth/sessions/${id}`)).status).toBe(400);
    }
  });

  test('change-password ends every other session, keeps this one, and sends a notice', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    const oldLink = await resetToken(app, ada.email);
    const changed = newPassword();
    const answer = await ada.client.post('/auth/change-password', {
      currentPassword: ada.password,
      newPassword: changed,
    });
    expect([answer.status, answer.body]).toEqual([200, { passwordChanged: true }]);
    expect(await isAlive(ada.client)).toBe(true);
    expect((await ada.client.get('/auth/refresh')).status).toBe(200);
    expect(await isAlive(elsewhere.client)).toBe(false);
    expect((await elsewhere.client.get('/auth/refresh')).status).toBe(401);
    expect((await ada.client.get('/auth/sessions')).body.sessions).toHaveLength(1);
    const old = await app.client().post('/auth/login', { email: ada.email, password: ada.password });
    expect(old.status).toBe(401);
    await login(app, ada.email, changed);
    const reset = await app.client().post('/auth/reset-password', resetBody(oldLink, newPassword()));
    expect(reset.status).toBe(400);
    await eventually(() => expect(app.inbox.to(ada.email, 'notice')).toHaveLength(1));
  });

  test('change-password with a wrong current password changes nothing', async () => {
    const ada = await newPerson(app);
    const body = { currentPassword: 'wrong password', newPassword: newPassword() };
    const answer = await ada.client.post('/auth/change-password', body);
    expect([answer.status, answer.body.code, answer.setCookies]).toEqual([401, 'invalid_credentials', []]);
    expect(await isAlive((await login(app, ada.email, ada.password)).client)).toBe(true);
  });

  test('change-password wants 8 characters or more', async () => {
    const ada = await newPerson(app);
    const body = { currentPassword: ada.password, newPassword: 'short' };
    const answer = await ada.client.post('/auth/change-password', body);
    expect([answer.status, answer.body.issues?.[0]?.path]).toEqual([400, ['newPassword']]);
  });

  test('of 10 password changes at once exactly one wins, and the others end nothing of it', async () => {
    const ada = await newPerson(app);
    const passwords = Array.from({ length: 10 }, newPassword);
    const answers = await Promise.all(
      passwords.map((newPassword) =>
        ada.client.post('/auth/change-password', { currentPassword: ada.password, newPassword }),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    for (const status of statuses) expect([200, 401, 409]).toContain(status);
    await login(app, ada.email, passwords[statuses.indexOf(200)] ?? '');
    expect(await isAlive(ada.client)).toBe(true);
  });

  test('a login whose check began before a change yields no session that outlives it', async () => {
    for (let round = 0; round < 3; round += 1) {
      const ada = await newPerson(app);
      const body = { email: ada.email, password: ada.password };
      const attempts = Array.from({ length: 8 }, () => app.client().post('/auth/login', body, IN_BODY));
      const change = ada.client.post('/auth/change-password', {
        currentPassword: ada.password,
        newPassword: newPassword(),
      });
      const late = Array.from({ length: 8 }, () => app.client().post('/auth/login', body, IN_BODY));
      expect((await change).status).toBe(200);
      for (const answer of await Promise.all([...attempts, ...late])) {
        const bearer = answer.body.accessToken ?? 'none';
        expect((await app.client().get('/auth/me', { bearer })).status).toBe(401);
      }
      expect(await isAlive(ada.client)).toBe(true);
    }
  });

  test('deletion asks for the password, erases, ends every session, and frees the e-mail', async () => {
    const ada = await newPerson(app, { email: `${unique('Ada.Gone')}@example.test`, name: unique('Gone') });
    const elsewhere = await login(app, ada.email, ada.password);
    const wrong = await ada.client.delete('/auth/me', { password: 'wrong password' });
    expect([wrong.status, wrong.body.code]).toEqual([401, 'invalid_credentials']);
    expect((await ada.client.delete('/auth/me')).status).toBe(400);
    expect(await isAlive(ada.client)).toBe(true);

    const before = ada.client.copy();
    const answer = await ada.client.delete('/auth/me', { password: ada.password });
    expect(answer.status).toBe(204);
    expect(ada.client.cookies.size).toBe(0);
    for (const client of [before, elsewhere.client]) {
      expect(await isAlive(client)).toBe(false);
      expect((await client.get('/auth/refresh')).status).toBe(401);
    }
    const login2 = await app.client().post('/auth/login', { email: ada.email, password: ada.password });
    expect(login2.status).toBe(401);

    const tombstone = await app.app.repository.findUser(ada.id);
    expect(tombstone).toMatchObject({ email: null, emailKey: null, name: '', passwordHash: null });
    expect(tombstone?.deletedAt).toEqual(app.clock.now());

    const next = await newPerson(app, { email: ada.email.toLowerCase() });
    expect(next.id).not.toBe(ada.id);
    expect(await isAlive(next.client)).toBe(true);
  });

  test('deletion and signup of the same e-mail at once leave at most one account', async () => {
    const ada = await newPerson(app);
    const body = { email: ada.email, name: 'Next', password: newPassword() };
    const [gone, ...signups] = await Promise.all([
      ada.client.delete('/auth/me', { password: ada.password }),
      ...Array.from({ length: 6 }, () => app.client().post('/auth/signup', body)),
    ]);
    expect(gone.status).toBe(204);
    expect(signups.filter(({ status }) => status === 201).length).toBeLessThanOrEqual(1);
    for (const { status } of signups) expect([201, 409]).toContain(status);
    expect(await isAlive(ada.client)).toBe(false);
  });

  test('deletion and password change at once: one of them wins, and the account is gone or changed', async () => {
    const ada = await newPerson(app);
    const changed = newPassword();
    const body = { currentPassword: ada.password, newPassword: changed };
    const [change, gone] = await Promise.all([
      ada.client.copy().post('/auth/change-password', body),
      ada.client.copy().delete('/auth/me', { password: ada.password }),
    ]);
    const answer = await app.client().post('/auth/login', { email: ada.email, password: changed });
    if (gone.status === 204) expect([answer.status, change.status >= 400]).toEqual([401, true]);
    else expect([change.status, answer.status]).toEqual([200, 200]);
  });
});
