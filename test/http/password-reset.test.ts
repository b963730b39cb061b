import { expect, test } from 'vitest';
import { HOUR, inEveryMode, SECOND, startApp } from '../support/app.ts';
import { removeUser } from '../support/repository.ts';
import { isAlive, login, newEmail, newPassword, newPerson, resetBody, resetToken } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);
  const reset = (token: string, password = newPassword()) =>
    app.client().post('/auth/reset-password', resetBody(token, password));

  test('forgot-password mails a link whose token sets a new password and ends every session', async () => {
    const ada = await newPerson(app);
    const elsewhere = await login(app, ada.email, ada.password);
    const token = await resetToken(app, ada.email);
    const changed = newPassword();
    const answer = await reset(token, changed);
    expect([answer.status, answer.body]).toEqual([200, { passwordChanged: true }]);
    expect(answer.setCookies).toEqual([]);
    for (const client of [ada.client, elsewhere.client]) {
      expect(await isAlive(client)).toBe(false);
      expect((await client.get('/auth/refresh')).status).toBe(401);
    }
    const old = await app.client().post('/auth/login', { email: ada.email, password: ada.password });
    expect(old.status).toBe(401);
    await login(app, ada.email, changed);
    await eventually(() => expect(app.inbox.to(ada.email, 'notice')).toHaveLength(1));
    const notice = await app.inbox.mail(ada.email, 'notice');
    expect(notice.text + notice.html).not.toContain(changed);
  });

  test('the link leads to APP_URL with the token in its fragment, whatever Host says', async () => {
    const ada = await newPerson(app);
    const headers = { host: 'evil.example.test', 'x-forwarded-host': 'evil.example.test' };
    await app.client().post('/auth/forgot-password', { email: ada.email }, { headers });
    const { link, text, html } = await app.inbox.mail(ada.email, 'reset-password');
    expect(link?.origin).toBe('https://app.example.test');
    expect(link?.pathname).toBe('/account/reset-password');
    expect(link?.search).toBe('');
    expect(text + html).not.toContain('evil');
  });

  test('known and unknown e-mails get the very same answer, and only the known one a mail', async () => {
    const ada = await newPerson(app);
    const unknown = newEmail('nobody');
    for (const email of [unknown, ada.email.toUpperCase()]) {
      const answer = await app.client().post('/auth/forgot-password', { email });
      expect([answer.status, answer.body]).toEqual([202, { accepted: true }]);
    }
    await app.inbox.mail(ada.email, 'reset-password');
    expect(app.inbox.mails.filter(({ to }) => to === unknown)).toEqual([]);
  });

  test('forgot-password refuses what is no e-mail with 400', async () => {
    for (const body of [{ email: 'nobody' }, {}, { email: { $gt: '' } }, { email: null }]) {
      const answer = await app.client().post('/auth/forgot-password', body);
      expect([answer.status, answer.body.issues?.[0]?.path]).toEqual([400, ['email']]);
    }
  });

  test('a mismatch is 400 under confirmPassword and does not use the token up', async () => {
    const ada = await newPerson(app);
    const token = await resetToken(app, ada.email);
    const body = { token, password: 'long enough', confirmPassword: 'different' };
    const answer = await app.client().post('/auth/reset-password', body);
    expect([answer.status, answer.body.code]).toEqual([400, 'validation_failed']);
    expect(answer.body.issues).toMatchObject([
      { path: ['confirmPassword'], message: "Passwords don't match" },
    ]);
    expect((await reset(token)).status).toBe(200);
  });

  test('a mismatch comes before an unknown token, and a short password does not use a token up', async () => {
    const ada = await newPerson(app);
    const token = await resetToken(app, ada.email);
    const mismatch = { token: 'unknown', password: 'long enough', confirmPassword: 'different' };
    const first = await app.client().post('/auth/reset-password', mismatch);
    expect(first.body.code).toBe('validation_failed');
    expect((await reset(token, 'short')).body.issues?.[0]?.path).toEqual(['password']);
    expect(await isAlive(ada.client)).toBe(true);
    expect((await reset(token)).status).toBe(200);
  });

  test('unknown, used and superseded tokens are 400', async () => {
    const ada = await newPerson(app);
    const superseded = await resetToken(app, ada.email);
    app.clock.advance(SECOND);
    const newest = await resetToken(app, ada.email, 2);
    for (const wrong of ['unknown', superseded, `${newest}x`]) {
      const answer = await reset(wrong);
      expect([answer.status, answer.body.code]).toEqual([400, 'token_invalid']);
    }
    expect((await reset(newest)).status).toBe(200);
    for (const used of [newest, superseded]) expect((await reset(used)).status).toBe(400);
  });

  test('a token is good for an hour and 410 from then on; used or superseded stays 400', async () => {
    const [ada, bob, eve] = [await newPerson(app), await newPerson(app), await newPerson(app)];
    const adas = await resetToken(app, ada.email);
    const bobs = await resetToken(app, bob.email);
    const superseded = await resetToken(app, eve.email);
    await resetToken(app, eve.email, 2);
    app.clock.advance(HOUR - 1);
    expect((await reset(adas)).status).toBe(200);
    app.clock.advance(1);
    const late = await reset(bobs);
    expect([late.status, late.body.code]).toEqual([410, 'token_expired']);
    expect((await reset(adas)).status).toBe(400);
    expect((await reset(superseded)).status).toBe(400);
    expect(await isAlive((await login(app, bob.email, bob.password)).client)).toBe(true);
  });

  test.each(['erased', 'removed'] as const)('missing user: 404 when its user was %s', async (how) => {
    const ada = await newPerson(app);
    const token = await resetToken(app, ada.email);
    if (how === 'removed') await removeUser(app, ada.id);
    else expect((await ada.client.delete('/auth/me', { password: ada.password })).status).toBe(204);
    const answer = await reset(token);
    expect([answer.status, answer.body.code]).toEqual([404, 'user_gone']);
    app.clock.advance(HOUR);
    expect((await reset(token)).status).toBe(410);
  });

  test('reset race: of 50 attempts at once with one token exactly one wins, all others get 400', async () => {
    const ada = await newPerson(app);
    const token = await resetToken(app, ada.email);
    const passwords = Array.from({ length: 50 }, newPassword);
    const answers = await Promise.all(passwords.map((password) => reset(token, password)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 400)).toHaveLength(49);
    const winner = passwords[statuses.indexOf(200)] ?? '';
    await login(app, ada.email, winner);
    const losers = passwords.filter((password) => password !== winner).slice(0, 5);
    for (const password of [...losers, ada.password]) {
      expect((await app.client().post('/auth/login', { email: ada.email, password })).status).toBe(401);
    }
  });

  test('of 10 requests for a link at once, exactly one of the mailed tokens works', async () => {
    const ada = await newPerson(app);
    const client = app.client();
    const asked = Array.from({ length: 10 }, () =>
      client.post('/auth/forgot-password', { email: ada.email }),
    );
    for (const { status } of await Promise.all(asked)) expect(status).toBe(202);
    await app.inbox.mail(ada.email, 'reset-password', 10);
    const statuses: number[] = [];
    for (const { token } of app.inbox.to(ada.email, 'reset-password')) {
      statuses.push((await reset(token ?? '')).status);
    }
    expect(statuses.sort()).toEqual([200, ...Array.from({ length: 9 }, () => 400)]);
  });

  test('a reset also works for a user who was never verified, and verifies nobody', async () => {
    const ada = await newPerson(app);
    const changed = newPassword();
    expect((await reset(await resetToken(app, ada.email), changed)).status).toBe(200);
    expect((await login(app, ada.email, changed)).user.isVerified).toBe(false);
  });
});
