import { describe, expect, test } from 'vitest';
import { inEveryMode, unique } from '../support/app.ts';
import type { Answer, RequestOptions } from '../support/client.ts';
import { startInbox } from '../support/inbox.ts';
import { legacyJwt } from '../support/legacy-jwt.ts';
import { openRepository } from '../support/repository.ts';
import { durableStoreEnv, productionEnv, startService } from '../support/service.ts';
import { ownPostgres } from '../support/stores.ts';
import { resetBody } from '../support/users.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

const LEGACY_SECRET = 'nothing but a fixture for the old service';

/** What must never be found in a log: the text itself, and the forms in which a log might hold it. */
function formsOf(secret: string): readonly string[] {
  const forms = [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  const base64 = [Buffer.from(secret).toString('base64'), Buffer.from(secret).toString('base64url')];
  return [...new Set([...forms, ...base64.map((text) => text.replace(/=+$/, ''))])];
}

const server = await ownPostgres();

inEveryMode(async (mode) => {
  const inbox = await startInbox();
  const env: Record<string, string> = {
    ...productionEnv(await durableStoreEnv(mode, server), inbox),
    LOG_LEVEL: 'trace',
    LEGACY_JWT_SECRET: LEGACY_SECRET,
    LEGACY_JWT_UNTIL: '2099-01-01',
    LIMIT_MAIL_ACCOUNT: '3/1h',
  };

  describe('all log output of a full run', async () => {
    const service = await startService(env);
    const secrets = new Map<string, string>();
    const note = (what: string, value: string | undefined): string => {
      if (value !== undefined && value !== '') secrets.set(value, what);
      return value ?? '';
    };
    const noteTokens = (answer: Answer): Answer => {
      note('access token', answer.body.accessToken);
      note('refresh token', answer.body.refreshToken);
      for (const { name, value } of answer.setCookies) note(`cookie ${name}`, value);
      return answer;
    };

    test('holds no password, token, hash, e-mail or key that was used in it', PATIENT, async () => {
      const repository = await openRepository(mode, env);
      const email = note('e-mail', `${unique('Log.Person')}@example.test`);
      const password = note('password', unique('pass phrase'));
      const name = note('name', unique('Log Name'));
      const changed = note('changed password', unique('pass phrase'));
      const again = note('reset password', unique('pass phrase'));
      const wrong = note('wrong password', unique('wrong phrase'));
      const unknown = note('unknown e-mail', `${unique('nobody')}@example.test`);
      const guessed = note('guessed token', unique('guess'));
      note('normalised e-mail', email.toLowerCase());
      const hash = async (): Promise<void> => {
        note('hash', (await repository.findUserByEmail(email))?.passwordHash ?? undefined);
      };

      const client = service.client();
      const inBody: RequestOptions = { noJar: true, headers: { 'x-token-transport': 'body' } };
      inbox.fail(1);
      const signup = noteTokens(await client.post('/auth/signup', { email, name, password }));
      expect(signup.status).toBe(201);
      const id = signup.body.user?.id ?? '';
      await hash();
      const verification = note('verification token', await inbox.token(email, 'verify-email'));
      noteTokens(await client.post('/auth/login', { email, password }));
      const other = noteTokens(await client.post('/auth/login', { email, password }, inBody));
      expect((await client.post('/auth/signup', { email, name, password })).status).toBe(409);
      expect((await client.post('/auth/login', { email, password: wrong })).status).toBe(401);
      expect((await client.post('/auth/login', { email: unknown, password: wrong })).status).toBe(401);
      expect((await client.post('/auth/login', { email: { $gt: email }, password: wrong })).status).toBe(400);
      const headers = { 'content-type': 'application/json' };
      const cut = `{"email":"${email}","password":"${wrong}"`;
      expect((await client.request('POST', '/auth/login', { raw: cut, headers })).status).toBe(400);
      const form = { raw: `email=${email}&password=${wrong}`, headers: { 'content-type': 'text/plain' } };
      expect((await client.request('POST', '/auth/login', form)).status).toBe(415);
      const large = { email, password: `${wrong}${'x'.repeat(20_000)}` };
      expect((await client.post('/auth/login', large)).status).toBe(413);

      noteTokens(await client.get('/auth/refresh'));
      const rotated = noteTokens(
        await client.get('/auth/refresh', { noJar: true, bearer: other.body.refreshToken }),
      );
      expect(rotated.status).toBe(200);
      expect((await client.get('/auth/me')).status).toBe(200);
      expect((await client.get('/auth/sessions')).status).toBe(200);
      const elsewhere = rotated.body.refreshToken?.slice(0, 24);
      expect((await client.delete(`/auth/sessions/${elsewhere}`)).status).toBe(204);
      expect((await client.get('/auth/me', { noJar: true, bearer: `${guessed}.x.y` })).status).toBe(401);
      const forged = note('forged token', `${signup.body.accessToken?.slice(0, -6)}AAAAAA`);
      expect((await client.get('/auth/me', { noJar: true, bearer: forged })).status).toBe(401);
      expect((await client.get(`/nowhere?token=${guessed}&email=${email}`)).status).toBe(404);
      expect((await client.get(`/auth/me?access_token=${guessed}`)).status).toBe(200);
      expect((await client.post('/auth/verify-email', { token: guessed })).status).toBe(400);
      expect((await client.post('/auth/verify-email', { token: verification })).status).toBe(200);
      expect((await client.post('/auth/verify-email', { token: verification })).status).toBe(400);
      expect((await client.post('/auth/resend-verification', { email: unknown })).status).toBe(202);

      const legacy = (claims: object): string => note('legacy token', legacyJwt(LEGACY_SECRET, claims));
      const good = legacy({ sub: id, exp: Math.floor(Date.now() / 1000) + 60 });
      noteTokens(await client.get('/auth/refresh', { ...inBody, bearer: good }));
      const expired = legacy({ sub: id, exp: 1 });
      expect((await client.get('/auth/refresh', { noJar: true, bearer: expired })).status).toBe(401);

      const change = { currentPassword: password, newPassword: changed };
      expect((await client.post('/auth/change-password', { ...change, currentPassword: wrong })).status).toBe(
        401,
      );
      expect((await client.post('/auth/change-password', change)).status).toBe(200);
      await hash();
      expect((await client.post('/auth/forgot-password', { email: unknown })).status).toBe(202);
      expect((await client.post('/auth/forgot-password', { email })).status).toBe(202);
      const reset = note('reset token', await inbox.token(email, 'reset-password'));
      expect((await client.post('/auth/reset-password', resetBody(guessed, again))).status).toBe(400);
      expect((await client.post('/auth/reset-password', resetBody(reset, again))).status).toBe(200);
      expect((await client.post('/auth/reset-password', resetBody(reset, again))).status).toBe(400);
      await hash();
      for (let times = 0; times < 4; times += 1) await client.post('/auth/forgot-password', { email });
      expect((await client.post('/auth/forgot-password', { email })).status).toBe(429);
      for (const { token } of inbox.to(email, 'reset-password')) note('reset token', token ?? undefined);

      noteTokens(await client.post('/auth/login', { email, password: again }));
      expect((await client.post('/auth/logout')).status).toBe(204);
      noteTokens(await client.post('/auth/login', { email, password: again }));
      expect((await client.delete('/auth/me', { password: wrong })).status).toBe(401);
      expect((await client.delete('/auth/me', { password: again })).status).toBe(204);

      // Reuse of a refresh token is told to the log, too.
      const eve = note('e-mail', `${unique('Log.Eve')}@example.test`);
      const first = noteTokens(await client.post('/auth/signup', { email: eve, name, password }, inBody));
      const second = noteTokens(
        await client.get('/auth/refresh', { noJar: true, bearer: first.body.refreshToken }),
      );
      noteTokens(await client.get('/auth/refresh', { noJar: true, bearer: second.body.refreshToken }));
      const reuse = await client.get('/auth/refresh', { noJar: true, bearer: first.body.refreshToken });
      expect(reuse.status).toBe(401);

      service.kill('SIGTERM');
      expect((await service.exited).code).toBe(0);
      for (const name of ['MONGO_URL', 'DATABASE_URL', 'AUTH_SECRETS', 'LEGACY_JWT_SECRET'])
        note(name, env[name]);
      note('JWT key', (JSON.parse(env['JWT_KEYS'] ?? '') as { keys: [{ d: string }] }).keys[0].d);
      note('database password', new URL(env['DATABASE_URL'] ?? 'postgres://').password);
      for (const { token, text } of inbox.mails) {
        note('mailed token', token ?? undefined);
        expect(text).not.toBe('');
      }

      const output = service.output();
      const found = [...secrets].flatMap(([secret, what]) =>
        formsOf(secret)
          .filter((form) => output.includes(form))
          .map((form) => `${what}: ${lineWith(output, form)}`),
      );
      expect(found).toEqual([]);
      expect(secrets.size).toBeGreaterThan(30);
    });

    test('is one JSON object a line, with the request id and no stack of a refusal', () => {
      const lines = service.output().trim().split('\n');
      const records = lines.map((line) => JSON.parse(line) as LogLine);
      expect(records.length).toBeGreaterThan(80);
      for (const record of records) expect(record.time, JSON.stringify(record)).toBeDefined();
      const events = new Set(
        records.map((record) => record.audit?.event).filter((event) => event !== undefined),
      );
      for (const event of [
        'signup',
        'login',
        'logout',
        'refresh',
        'verify-email',
        'resend-verification',
        'reset-asked',
        'reset',
        'change-password',
        'delete-account',
        'legacy-exchange',
        'session-ended',
        'limit',
      ]) {
        expect(events).toContain(event);
      }
      const reuse = records.find(
        (record) => record.audit?.event === 'refresh' && record.audit?.reason === 'reuse',
      );
      expect(reuse?.audit?.outcome).toBe('failure');
      expect(reuse?.requestId).toBeTruthy();
    });
  });
});

interface LogLine {
  readonly time?: string;
  readonly requestId?: string;
  readonly audit?: { readonly event?: string; readonly outcome?: string; readonly reason?: string };
}

function lineWith(output: string, text: string): string {
  return output.split('\n').find((line) => line.includes(text)) ?? '';
}
