import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { HOUR, inEveryMode, startApp, unique } from '../support/app.ts';
import { IN_BODY, login, newEmail, newPassword, newPerson, signedIn } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

inEveryMode(async (mode) => {
  const app = await startApp(mode);

  test('TC01 signup answers 201 with the user, an access token and cookies, and mails a link', async () => {
    const email = newEmail('Ada.Mixed');
    const client = app.client();
    const body = { email, name: 'Ada', password: newPassword() };
    const { user, accessToken, answer } = signedIn(await client.post('/auth/signup', body), 201, client);
    expect(user).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{24}$/),
      email,
      name: 'Ada',
      isVerified: false,
      createdAt: app.clock.now().toISOString(),
    });
    expect(answer.body).toEqual({ user, accessToken, tokenType: 'Bearer', expiresIn: 900 });
    expect(answer.setCookies.map(({ name }) => name)).toEqual(['access_token', 'refresh_token']);
    expect(answer.setCookies[0]?.value).toBe(accessToken);
    expect((await client.get('/auth/me')).body.user).toEqual(user);
    const mail = await app.inbox.mail(email, 'verify-email');
    expect(mail.link?.href).toMatch(/^https:\/\/app\.example\.test\/account\/verify-email#/);
    expect(mail.html).toContain(mail.link?.href);
  });

  test('TC01 signup without a cookie jar puts both tokens into the body and sets no cookie', async () => {
    const body = { email: newEmail(), name: 'Ada', password: newPassword() };
    const answer = await app.client().post('/auth/signup', body, IN_BODY);
    const { refreshToken } = signedIn(answer, 201);
    expect(answer.setCookies).toEqual([]);
    const next = await app.client().get('/auth/refresh', { bearer: refreshToken });
    expect(signedIn(next).user.email).toBe(body.email);
  });

  test('TC02 a duplicate e-mail is refused with 409 in any letter case, and nothing is set or changed', async () => {
    const ada = await newPerson(app, { email: `${unique('Ada.Lovelace')}@Example.Test` });
    for (const email of [ada.email, ada.email.toLowerCase(), ada.email.toUpperCase()]) {
      const answer = await app.client().post('/auth/signup', { email, name: 'Eve', password: newPassword() });
      expect(answer.status).toBe(409);
      expect(answer.body.code).toBe('email_taken');
      expect(answer.setCookies).toEqual([]);
    }
    expect((await login(app, ada.email, ada.password)).user.name).toBe(ada.name);
  });

  test('TC02 an e-mail of any length has one account, and logs in', async () => {
    const email = `${randomBytes(3_000).toString('hex')}@example.test`;
    const body = { email, name: 'Ada', password: newPassword() };
    signedIn(await app.client().post('/auth/signup', body, IN_BODY), 201);
    expect(await app.client().post('/auth/signup', { ...body, email: email.toUpperCase() })).toMatchObject({
      status: 409,
    });
    expect(await app.client().post('/auth/signup', { ...body, email: `a${email}` })).toMatchObject({
      status: 201,
    });
    signedIn(await app.client().post('/auth/login', body, IN_BODY));
  });

  test('TC02 of 20 signups at once with one e-mail in different cases, one gets 201 and all others 409', async () => {
    const email = newEmail('race');
    const spell = (index: number): string => (index % 2 === 0 ? email : email.toUpperCase());
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        app
          .client()
          .post('/auth/signup', { email: spell(index), name: `n${index}`, password: newPassword() }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
  });

  test.each([
    ['an e-mail that is none', { email: 'nobody' }, 'email'],
    ['an empty name', { name: '' }, 'name'],
    ['a password of 7 characters', { password: '1234567' }, 'password'],
    ['no e-mail', { email: undefined }, 'email'],
    ['no name', { name: undefined }, 'name'],
    ['no password', { password: undefined }, 'password'],
    ['a number as name', { name: 7 }, 'name'],
    ['null as password', { password: null }, 'password'],
  ])('TC04 signup with %s is refused with 400 and the issue by path', async (_what, wrong, path) => {
    const body = { email: newEmail(), name: 'Ada', password: newPassword(), ...wrong };
    const answer = await app.client().post('/auth/signup', body);
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('validation_failed');
    expect(answer.body.issues?.map((issue) => issue.path)).toEqual([[path]]);
    expect(answer.setCookies).toEqual([]);
  });

  test('TC04 all issues come at once, each by its path', async () => {
    const answer = await app.client().post('/auth/signup', { email: 'x', name: '', password: 'short' });
    expect(answer.status).toBe(400);
    expect(answer.body.issues?.map((issue) => issue.path)).toEqual([['email'], ['name'], ['password']]);
  });

  test('a verification mail that the server refuses at first is sent again, and the answer does not wait', async () => {
    const release = app.inbox.hold();
    const ada = await newPerson(app);
    expect(app.inbox.to(ada.email, 'verify-email')).toEqual([]);
    release();
    await app.inbox.mail(ada.email, 'verify-email');

    app.inbox.fail(1);
    const before = app.inbox.failed();
    const bob = await newPerson(app);
    await app.inbox.mail(bob.email, 'verify-email');
    expect(app.inbox.failed()).toBe(before + 1);
  });

  test('a verification mail that the server refuses for good is tried once, and no longer due', async () => {
    const email = newEmail('nowhere');
    app.inbox.refuse(email);
    const before = app.inbox.failed();
    const ada = await newPerson(app, { email });
    await eventually(() => expect(app.inbox.failed()).toBe(before + 1));
    await eventually(async () => {
      const due = await app.app.repository.listDueMail({
        now: new Date(app.clock.now().getTime() + HOUR),
        limit: 1_000,
      });
      expect(due.filter(({ token }) => token.userId === ada.id)).toEqual([]);
    });
  });
});
