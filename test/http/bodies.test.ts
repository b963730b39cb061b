import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, unique } from '../support/app.ts';
import type { RequestOptions } from '../support/client.ts';
import { login, newEmail, newPassword, newPerson, resetBody, resetToken } from '../support/users.ts';

/** Bytes of UTF-8. */
const bytes = (text: string): number => Buffer.byteLength(text);

const PASSWORDS: readonly (readonly [string, string])[] = [
  ['8 spaces', ' '.repeat(8)],
  ['8 characters', '12345678'],
  ['72 bytes', 'é'.repeat(36)],
  ['73 bytes', `${'é'.repeat(36)}x`],
  ['1,024 bytes', `${'€'.repeat(341)}x`],
  ['1,024 NULs', '\0'.repeat(1024)],
  ['NUL within', 'ab\0cdefgh'],
  ['NUL at the end', 'abcdefgh\0'],
  ['emoji', '🔐🔑🚪🦊🐢🌍🎈🎯'],
  ['text that is not NFC', 'e\u0301'.repeat(8)],
  ['quotes and operators', `{"$gt":""}' or 1=1 --`],
];

/** Any of these could be taken for the one it stands beside by a hash that cuts or normalises. */
const LOOKALIKES: readonly (readonly [string, string, string])[] = [
  ['a byte after the 72nd', `${'x'.repeat(72)}a`, `${'x'.repeat(72)}b`],
  ['the 72 bytes themselves', 'x'.repeat(73), 'x'.repeat(72)],
  ['the last of 1,024 bytes', `${'x'.repeat(1023)}a`, `${'x'.repeat(1023)}b`],
  ['what follows NUL', 'abcdefgh\0one', 'abcdefgh\0two'],
  ['NUL and the rest missing', 'abcdefgh\0one', 'abcdefgh'],
  ['another normal form', 'e\u0301'.repeat(8), 'é'.repeat(8)],
  ['a space at the end', 'abcdefgh ', 'abcdefgh'],
  ['letter case', 'Abcdefgh', 'abcdefgh'],
];

const json = { 'content-type': 'application/json' };

inEveryMode(async (mode) => {
  const app = await startApp(mode);
  const signup = (body: unknown, options: RequestOptions = {}) =>
    app.client().post('/auth/signup', body, options);
  const valid = () => ({ email: newEmail(), name: 'Ada', password: newPassword() });

  test.each(PASSWORDS)(
    'a password of %s is taken at signup, login, change and reset',
    async (_what, password) => {
      expect(bytes(password)).toBeLessThanOrEqual(1024);
      const ada = await newPerson(app, { password });
      const { client } = await login(app, ada.email, password);
      const change = await client.post('/auth/change-password', {
        currentPassword: password,
        newPassword: `${password.slice(0, 300)}2`,
      });
      expect(change.status).toBe(200);
      const token = await resetToken(app, ada.email);
      expect((await client.post('/auth/reset-password', resetBody(token, password))).status).toBe(200);
      await login(app, ada.email, password);
    },
  );

  test.each(LOOKALIKES)('passwords that differ in %s are different', async (_what, password, other) => {
    const ada = await newPerson(app, { password });
    const wrong = await app.client().post('/auth/login', { email: ada.email, password: other });
    expect(wrong.status).toBe(401);
    await login(app, ada.email, password);
  });

  test('a password over 1,024 bytes is 400, also where few characters make them', async () => {
    const ada = await newPerson(app);
    for (const password of ['x'.repeat(1025), '€'.repeat(342)]) {
      expect((await signup({ ...valid(), password })).body.issues?.[0]?.path).toEqual(['password']);
      const login = await app.client().post('/auth/login', { email: ada.email, password });
      expect([login.status, login.body.code]).toEqual([400, 'validation_failed']);
      const change = { currentPassword: ada.password, newPassword: password };
      expect((await ada.client.post('/auth/change-password', change)).status).toBe(400);
      expect((await app.client().post('/auth/reset-password', resetBody('x', password))).status).toBe(400);
      expect((await ada.client.delete('/auth/me', { password })).status).toBe(400);
    }
  });

  test.each([
    ['one character', 'A'],
    ['one emoji', '🦊'],
    ['a family of emoji', '👩‍👩‍👧‍👦'],
    ['spaces', '  '],
    ['line breaks and tabs', 'a\nb\tc'],
    ['right to left', 'שלום עולם'],
    ['markup', '<script>alert(1)</script>'],
    ['another normal form', 'e\u0301'],
    ['2,000 characters', 'n'.repeat(2000)],
    ['an operator', '$where'],
    ['U+FFFD and U+FEFF', '\ufffd\ufeff'],
  ])('a name of %s is kept as it is', async (_what, name) => {
    const ada = await newPerson(app, { name });
    expect((await ada.client.get('/auth/me')).body.user?.name).toBe(name);
  });

  test.each([
    ['plus and dots', () => `first.last+${unique('tag')}@sub.example.test`],
    ['apostrophe', () => `o'neil-${unique('x')}@example.test`],
    ['underscore and digits', () => `_1_${unique('x')}@example.co`],
    ['capitals', () => `${unique('MIXED')}@EXAMPLE.Test`],
  ])('an e-mail with %s is taken and kept as it is', async (_what, make) => {
    const email = make();
    const ada = await newPerson(app, { email });
    expect((await ada.client.get('/auth/me')).body.user?.email).toBe(email);
  });

  test.each([
    ['NUL', 'a\0b'],
    ['a lone high surrogate', 'a\ud800b'],
    ['a lone low surrogate', '\udc00'],
  ])('%s is refused everywhere but in passwords', async (_what, text) => {
    // Written out: JSON.stringify would keep the escape, a string body would not.
    const send = (path: string, body: object) =>
      app.client().request('POST', path, { raw: JSON.stringify(body), headers: json });
    const password = `long enough ${text}`;
    expect((await send('/auth/signup', { ...valid(), name: text })).body.issues?.[0]?.path).toEqual(['name']);
    expect((await send('/auth/signup', { ...valid(), email: `${text}@example.test` })).status).toBe(400);
    expect((await send('/auth/login', { email: text, password })).body.issues?.[0]?.path).toEqual(['email']);
    expect((await send('/auth/verify-email', { token: text })).body.issues?.[0]?.path).toEqual(['token']);
    const reset = { token: text, password, confirmPassword: password };
    expect((await send('/auth/reset-password', reset)).body.issues?.[0]?.path).toEqual(['token']);
    expect((await send('/auth/forgot-password', { email: `${text}@example.test` })).status).toBe(400);
    const body = { ...valid(), password };
    expect((await send('/auth/signup', body)).status).toBe(201);
    expect((await send('/auth/login', body)).status).toBe(200);
  });

  test('unknown keys are ignored, and none of them reaches the record', async () => {
    const body = { ...valid(), isVerified: true, id: 'x', _id: 'x', role: 'admin', extra: { deep: [1] } };
    const answer = await signup(body);
    expect(answer.status).toBe(201);
    expect(answer.body.user).toMatchObject({ isVerified: false, email: body.email });
    expect(answer.body.user?.id).not.toBe('x');
    const again = await app.client().post('/auth/login', { ...body, isVerified: true });
    expect(again.body.user?.isVerified).toBe(false);
  });

  test.each([[{ $gt: '' }], [{ $ne: null }], [{ $regex: '.*' }], [['a@example.test']], [true], [1], [null]])(
    '%j in place of a string is 400 everywhere',
    async (operator) => {
      const ada = await newPerson(app);
      const bodies: readonly (readonly [string, object])[] = [
        ['/auth/login', { email: operator, password: ada.password }],
        ['/auth/login', { email: ada.email, password: operator }],
        ['/auth/signup', { ...valid(), email: operator }],
        ['/auth/verify-email', { token: operator }],
        ['/auth/forgot-password', { email: operator }],
        [
          '/auth/reset-password',
          { token: operator, password: 'long enough', confirmPassword: 'long enough' },
        ],
        ['/auth/reset-password', { token: 'x', password: operator, confirmPassword: operator }],
        ['/auth/reset-password', { token: 'x', password: 'long enough', confirmPassword: operator }],
      ];
      for (const [path, body] of bodies) {
        const answer = await app.client().post(path, body);
        expect([answer.status, answer.body.code], path).toEqual([400, 'validation_failed']);
      }
    },
  );

  test.each(['null', '[]', '"text"', '7', 'true', '{}'])('%s is valid JSON but no body: 400', async (raw) => {
    for (const path of ['/auth/signup', '/auth/login', '/auth/verify-email', '/auth/reset-password']) {
      const answer = await app.client().request('POST', path, { raw, headers: json });
      expect([answer.status, answer.body.code]).toEqual([400, 'validation_failed']);
    }
  });

  test.each([
    ['cut off', '{"email":'],
    ['not JSON', 'email=a'],
    ['of single quotes', "{'email':'a'}"],
    ['with __proto__', '{"email":"a@example.test","password":"x","__proto__":{"isAdmin":true}}'],
    ['with an escaped __proto__', '{"\\u005f_proto__":{"isAdmin":true}}'],
    ['with constructor.prototype', '{"constructor":{"prototype":{"isAdmin":true}}}'],
    ['with a deep __proto__', '{"email":"a@example.test","x":{"y":[{"__proto__":null}]}}'],
  ])('a body %s is malformed: 400', async (_what, raw) => {
    const answer = await app.client().request('POST', '/auth/login', { raw, headers: json });
    expect([answer.status, answer.body.code]).toEqual([400, 'malformed_body']);
  });

  test.each([
    ['a byte of Latin-1', [0xe9]],
    ['an overlong form', [0xc0, 0xaf]],
    ['half of a pair', [0xed, 0xa0, 0x80]],
    ['a character that is cut off', [0xe2, 0x82]],
  ])('a body with %s is no UTF-8: 400, or passwords that differ in it would be one', async (_what, bytes) => {
    const [before, after] = JSON.stringify({ ...valid(), password: 'long enough #' }).split('#');
    const raw = Buffer.concat([Buffer.from(before ?? ''), Buffer.from(bytes), Buffer.from(after ?? '')]);
    for (const path of ['/auth/signup', '/auth/login']) {
      for (const headers of [json, { ...json, 'transfer-encoding': 'chunked' }]) {
        const answer = await app.client().request('POST', path, { raw, headers });
        expect([answer.status, answer.body.code], path).toEqual([400, 'malformed_body']);
      }
    }
  });

  test('no body and an empty body are 400 where one is wanted', async () => {
    for (const options of [{}, { headers: json }, { raw: '', headers: json }]) {
      const answer = await app.client().request('POST', '/auth/login', options);
      expect(answer.status).toBe(400);
    }
  });

  test('deeply nested JSON is refused or ignored, quickly', async () => {
    const raw = `{"x":${'['.repeat(5000)}${']'.repeat(5000)}}`;
    const answer = await app.client().request('POST', '/auth/login', { raw, headers: json });
    expect(answer.status).toBe(400);
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'nonsense',
  ])('a body of type %s is 415', async (type) => {
    const raw = JSON.stringify({ email: 'a@example.test', password: 'x' });
    for (const path of ['/auth/login', '/auth/signup', '/auth/forgot-password', '/auth/change-password']) {
      const answer = await app.client().request('POST', path, { raw, headers: { 'content-type': type } });
      expect([answer.status, answer.body.code], path).toEqual([415, 'unsupported_media_type']);
    }
  });

  test('a charset beside application/json is fine', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8' };
    expect((await signup(undefined, { headers, raw: JSON.stringify(valid()) })).status).toBe(201);
  });

  test('a body over 16 KiB is 413, declared or found out', async () => {
    const name = 'n'.repeat(17 * 1024);
    for (const path of ['/auth/signup', '/auth/login', '/auth/reset-password', '/auth/change-password']) {
      const declared = await app.client().post(path, { ...valid(), name });
      expect([declared.status, declared.body.code], path).toEqual([413, 'body_too_large']);
    }
    const headers = { ...json, 'transfer-encoding': 'chunked' };
    const raw = Buffer.from(JSON.stringify({ ...valid(), name }));
    const client = app.client();
    const answer = await client.request('POST', '/auth/login', {
      raw,
      headers,
    });
    expect(answer.status).toBe(413);
  });

  test('a body just under 16 KiB is taken', async () => {
    const body = { ...valid(), name: 'n'.repeat(16 * 1024 - 150) };
    expect((await signup(body)).status).toBe(201);
  });

  describe('with PASSWORD_BLOCKLIST', async () => {
    const strict = await startApp(mode, { beside: app, env: { PASSWORD_BLOCKLIST: 'true' } });

    test('common passwords and those made of the name or e-mail are refused, wherever one is set', async () => {
      const email = `${unique('marguerite')}@example.test`;
      const [local = ''] = email.split('@');
      for (const password of ['password', 'Password', '12345678', local, 'hildegard']) {
        const answer = await strict.client().post('/auth/signup', { email, name: 'Hildegard', password });
        expect([answer.status, answer.body.code], password).toEqual([400, 'weak_password']);
      }
      const ada = await newPerson(strict, { email });
      const token = await resetToken(strict, email);
      const reset = await strict.client().post('/auth/reset-password', resetBody(token, 'password'));
      expect(reset.body.code).toBe('weak_password');
      const change = { currentPassword: ada.password, newPassword: 'password' };
      expect((await ada.client.post('/auth/change-password', change)).body.code).toBe('weak_password');
      const good = await strict.client().post('/auth/reset-password', resetBody(token, newPassword()));
      expect(good.status).toBe(200);
    });

    test('it is off by default', async () => {
      expect((await signup({ ...valid(), password: 'password' })).status).toBe(201);
    });
  });
});
