import bcrypt from 'bcryptjs';
import { describe, expect, test } from 'vitest';
import { DAY, HOUR, MINUTE, SECOND, startApp, unique } from '../support/app.ts';
import {
  insertLegacyToken,
  insertLegacyUser,
  type LegacyUser,
  withMongo,
} from '../support/legacy-fixtures.ts';
import { isAlive, login, newEmail, newPassword, resetBody, resetToken, signedIn } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

describe('mongo-only', async () => {
  const app = await startApp('mongo-only');

  async function legacyPerson(given: Partial<LegacyUser> = {}) {
    const password = newPassword();
    const email = given.email ?? newEmail('legacy');
    const passwordHash = (await bcrypt.hash(password, 4)).replace('$2b$', '$2a$');
    const id = await insertLegacyUser(app, { ...given, email, passwordHash });
    return { id, email, password };
  }

  const clearToken = (): string => unique('legacytoken');
  const later = (ms: number): Date => new Date(app.clock.now().getTime() + ms);
  const reset = (token: string, password = newPassword()) =>
    app.client().post('/auth/reset-password', resetBody(token, password));

  test('TC05 a legacy user logs in, with the id clients already know', async () => {
    const createdAt = later(-400 * DAY);
    const ada = await legacyPerson({ name: 'Ada Legacy', isVerified: true, createdAt });
    const { user, client } = await login(app, ada.email, ada.password);
    expect(user).toEqual({
      id: ada.id,
      email: ada.email,
      name: 'Ada Legacy',
      isVerified: true,
      createdAt: createdAt.toISOString(),
    });
    expect(await isAlive(client)).toBe(true);
    expect((await client.get('/auth/refresh')).status).toBe(200);
  });

  test('TC05 a legacy user whose e-mail has capitals is found by any letter case', async () => {
    const ada = await legacyPerson({ email: `${unique('Ada.CAPS')}@Example.Test` });
    for (const email of [ada.email, ada.email.toLowerCase(), ada.email.toUpperCase()]) {
      expect((await login(app, email, ada.password)).user).toMatchObject({ id: ada.id, email: ada.email });
    }
  });

  test('TC02 signup with a legacy e-mail is 409 in any letter case', async () => {
    const ada = await legacyPerson({ email: `${unique('Ada.Taken')}@Example.Test` });
    for (const email of [ada.email, ada.email.toLowerCase(), ada.email.toUpperCase()]) {
      const answer = await app.client().post('/auth/signup', { email, name: 'x', password: newPassword() });
      expect(answer.status).toBe(409);
    }
  });

  test('of two legacy accounts that differ in letter case each answers to its exact spelling, the older to any other', async () => {
    const word = unique('twin');
    const older = await legacyPerson({ email: `${word}@example.test`, createdAt: later(-20 * DAY) });
    const newer = await legacyPerson({ email: `${word.toUpperCase()}@example.test`, createdAt: later(-DAY) });
    expect((await login(app, older.email, older.password)).user.id).toBe(older.id);
    expect((await login(app, newer.email, newer.password)).user.id).toBe(newer.id);
    const mixed = `${word}@EXAMPLE.TEST`;
    expect((await login(app, mixed, older.password)).user.id).toBe(older.id);
    const wrong = await app.client().post('/auth/login', { email: mixed, password: newer.password });
    expect(wrong.status).toBe(401);
    for (const email of [older.email, newer.email, mixed]) {
      const answer = await app.client().post('/auth/signup', { email, name: 'x', password: newPassword() });
      expect(answer.status).toBe(409);
    }
  });

  test('TC03 a verification link mailed before the upgrade works once', async () => {
    const ada = await legacyPerson();
    const token = clearToken();
    await insertLegacyToken(app, 'verification_tokens', {
      userId: ada.id,
      token,
      createdAt: later(-HOUR),
      expiresAt: later(23 * HOUR),
    });
    const verify = () => app.client().post('/auth/verify-email', { token });
    expect((await verify()).status).toBe(200);
    expect((await login(app, ada.email, ada.password)).user.isVerified).toBe(true);
    expect((await verify()).status).toBe(400);
  });

  test('expired 410: a legacy link past its end, and missing user 404: one whose user is gone', async () => {
    const ada = await legacyPerson();
    const token = clearToken();
    const times = { createdAt: later(-25 * HOUR), expiresAt: later(-HOUR) };
    await insertLegacyToken(app, 'verification_tokens', { userId: ada.id, token, ...times });
    expect((await app.client().post('/auth/verify-email', { token })).status).toBe(410);

    const orphan = clearToken();
    const fresh = { createdAt: later(-HOUR), expiresAt: later(HOUR) };
    await insertLegacyToken(app, 'verification_tokens', { userId: 'f'.repeat(24), token: orphan, ...fresh });
    expect((await app.client().post('/auth/verify-email', { token: orphan })).status).toBe(404);
    await insertLegacyToken(app, 'password_reset_tokens', {
      userId: 'f'.repeat(24),
      token: orphan,
      ...fresh,
    });
    expect((await reset(orphan)).status).toBe(404);
  });

  test('a reset link mailed before the upgrade works once', async () => {
    const ada = await legacyPerson();
    const token = clearToken();
    const times = { createdAt: later(-10 * MINUTE), expiresAt: later(50 * MINUTE) };
    await insertLegacyToken(app, 'password_reset_tokens', { userId: ada.id, token, ...times });
    const changed = newPassword();
    expect((await reset(token, changed)).status).toBe(200);
    await login(app, ada.email, changed);
    expect((await reset(token)).status).toBe(400);
  });

  test('expired 410: a link that the old service kept after its use, or took back', async () => {
    const ada = await legacyPerson();
    const times = { createdAt: later(-10 * MINUTE), expiresAt: later(50 * MINUTE) };
    const marks = [{ used: true }, { usedAt: later(-MINUTE) }, { isActive: false }, { status: 'revoked' }];
    for (const mark of marks) {
      const token = clearToken();
      const document = { userId: ada.id, token, ...times, ...mark };
      await insertLegacyToken(app, 'verification_tokens', document);
      expect((await app.client().post('/auth/verify-email', { token })).status).toBe(410);
      await insertLegacyToken(app, 'password_reset_tokens', document);
      expect((await reset(token)).status).toBe(410);
    }
    const { user } = await login(app, ada.email, ada.password);
    expect(user.isVerified).toBe(false);
  });

  test('of several legacy reset tokens only the newest works, and none after a new one was asked for', async () => {
    const ada = await legacyPerson();
    const tokens = [clearToken(), clearToken(), clearToken()];
    for (const [index, token] of tokens.entries()) {
      await insertLegacyToken(app, 'password_reset_tokens', {
        userId: ada.id,
        token,
        createdAt: later((index - 10) * MINUTE),
        expiresAt: later(50 * MINUTE),
      });
    }
    const [first = '', second = '', newest = ''] = tokens;
    for (const old of [first, second]) expect((await reset(old)).status).toBe(400);
    expect((await reset(newest)).status).toBe(200);

    const bob = await legacyPerson();
    const before = clearToken();
    await insertLegacyToken(app, 'password_reset_tokens', {
      userId: bob.id,
      token: before,
      createdAt: later(-MINUTE),
      expiresAt: later(50 * MINUTE),
    });
    const asked = await resetToken(app, bob.email);
    expect((await reset(before)).status).toBe(400);
    expect((await reset(asked)).status).toBe(200);
  });

  test('reset race: of 50 attempts at once with one legacy token exactly one wins', async () => {
    const ada = await legacyPerson();
    const token = clearToken();
    const times = { createdAt: later(-MINUTE), expiresAt: later(50 * MINUTE) };
    await insertLegacyToken(app, 'password_reset_tokens', { userId: ada.id, token, ...times });
    const answers = await Promise.all(Array.from({ length: 50 }, () => reset(token)));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 400)).toHaveLength(49);
  });

  test('new tokens are not stored in clear, and what is stored cannot be presented', async () => {
    const ada = await legacyPerson();
    const token = await resetToken(app, ada.email);
    const stored = await withMongo(app, (db) => db.collection('password_reset_tokens').find().toArray());
    expect(JSON.stringify(stored)).not.toContain(token);
    for (const { token: text } of stored) {
      if (String(text).startsWith('sha256:')) expect((await reset(String(text))).status).toBe(400);
    }
    expect((await reset(token)).status).toBe(200);
  });

  test('a legacy user without a password cannot log in until it has been reset', async () => {
    const email = newEmail('passwordless');
    await insertLegacyUser(app, { email, passwordHash: null });
    for (const password of ['', 'undefined', 'null', 'x']) {
      const { status } = await app.client().post('/auth/login', { email, password });
      expect([400, 401]).toContain(status);
    }
    const changed = newPassword();
    expect((await reset(await resetToken(app, email), changed)).status).toBe(200);
    await login(app, email, changed);
  });

  test.each([
    `${unique("o'neil&co")}@example.test`,
    `${unique('zoé')}@example.test`,
    `${unique('ann')}@münchen.test`,
    `${unique('ann')}@localhost`,
  ])('a legacy user without a usable password sets one by a reset, also as %s', async (email) => {
    await insertLegacyUser(app, { email, passwordHash: '$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA' });
    const changed = newPassword();
    expect((await reset(await resetToken(app, email), changed)).status).toBe(200);
    await login(app, email, changed);
    expect((await app.client().post('/auth/resend-verification', { email })).status).toBe(202);
    await app.inbox.mail(email, 'verify-email');
  });

  test('whatever is asked for, mail goes to a stored address alone', async () => {
    const ada = await legacyPerson();
    const evil = newEmail('evil');
    for (const email of [`${ada.email}\r\nBcc: ${evil}`, `${ada.email},${evil}`, `${evil} <${ada.email}>`]) {
      for (const path of ['/auth/forgot-password', '/auth/resend-verification']) {
        expect((await app.client().post(path, { email })).status).toBe(202);
      }
    }
    await resetToken(app, ada.email);
    const mails = app.inbox.mails.filter(({ to }) => to.includes(ada.email) || to.includes(evil));
    expect(mails.map(({ to }) => to)).toEqual([ada.email]);
  });

  test('legacy documents stay readable by the old service, and fields it added stay', async () => {
    const ada = await legacyPerson({ extra: { favouriteColour: 'green', nested: { kept: [1, 2] } } });
    const { client } = await login(app, ada.email, ada.password);
    const changed = newPassword();
    const body = { currentPassword: ada.password, newPassword: changed };
    expect((await client.post('/auth/change-password', body)).status).toBe(200);
    const document = await withMongo(app, (db) => db.collection('users').findOne({ email: ada.email }));
    expect(document).toMatchObject({
      name: 'Legacy Person',
      isVerified: false,
      favouriteColour: 'green',
      nested: { kept: [1, 2] },
      __v: 0,
    });
    expect(String(document?._id)).toBe(ada.id);
    expect(document?.['createdAt']).toBeInstanceOf(Date);
    expect(document?.['updatedAt']).toBeInstanceOf(Date);
    expect(await bcrypt.compare(changed, document?.['password'])).toBe(true);
  });

  test('a document signed up here has what the old service reads', async () => {
    const email = newEmail('fresh');
    const password = newPassword();
    const answer = await app
      .client()
      .post('/auth/signup', { email, name: 'Fresh', password }, { noJar: true });
    expect(answer.status).toBe(201);
    const document = await withMongo(app, (db) => db.collection('users').findOne({ email }));
    expect(document).toMatchObject({ email, name: 'Fresh', isVerified: false });
    expect(String(document?._id)).toBe(answer.body.user?.id);
    expect(await bcrypt.compare(password, document?.['password'])).toBe(true);
    const token = await withMongo(app, (db) =>
      db.collection('verification_tokens').findOne({ userId: document?._id }),
    );
    expect(token?.['expiresAt']).toBeInstanceOf(Date);
    expect(typeof token?.['token']).toBe('string');
  });

  test('the old hash is upgraded at login to the configured cost', async () => {
    const strong = await costlier;
    const ada = await legacyPerson();
    await login(strong, ada.email, ada.password);
    const read = () => withMongo(app, (db) => db.collection('users').findOne({ email: ada.email }));
    await eventually(async () => expect((await read())?.['password']).toMatch(/^\$2[ab]\$06\$/));
    await login(app, ada.email, ada.password);
  });

  test('a legacy account is deleted like any other, and its e-mail is free again', async () => {
    const ada = await legacyPerson({ email: `${unique('Ada.Leaves')}@Example.Test` });
    const { client } = await login(app, ada.email, ada.password);
    app.clock.advance(SECOND);
    expect((await client.delete('/auth/me', { password: ada.password })).status).toBe(204);
    const raw = await withMongo(app, (db) => db.collection('users').find().toArray());
    expect(JSON.stringify(raw).toLowerCase()).not.toContain(ada.email.toLowerCase());
    const body = { email: ada.email.toLowerCase(), name: 'Next', password: newPassword() };
    const again = app.client();
    expect(signedIn(await again.post('/auth/signup', body), 201, again).user.id).not.toBe(ada.id);
  });

  const costlier = startApp('mongo-only', { beside: app, env: { BCRYPT_COST: '6' } });
  await costlier;
});
