/** Passwords that bcrypt alone would cut, under every version that a key may have: the stored hash names it. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, unique } from '../support/app.ts';
import { login, newPerson, resetBody, resetToken } from '../support/users.ts';

const newLong = (): string => unique('long pass phrase').padEnd(80, '.');

inEveryMode(async (mode) => {
  const base = await startApp(mode);

  describe.each(['2026-11', 'dev', '_A-Version-of-16'])('under a key of version %s', async (version) => {
    const secret = `${version}:${randomBytes(32).toString('base64url')}`;
    const env = { AUTH_SECRETS: `${secret},${base.env['AUTH_SECRETS']}` };
    const app = await startApp(mode, { beside: base, env });

    test('a long password is good once it was chosen, changed and reset', async () => {
      const [chosen, changed, reset] = [newLong(), newLong(), newLong()];
      const ada = await newPerson(app, { password: chosen });
      const hash = (await app.app.repository.findUserByEmail(ada.email))?.passwordHash;
      expect(hash?.startsWith(`{sha384:${version}}$2b$`)).toBe(true);
      const { client } = await login(app, ada.email, chosen);
      const change = { currentPassword: chosen, newPassword: changed };
      expect((await client.post('/auth/change-password', change)).status).toBe(200);
      await login(app, ada.email, changed);
      const token = await resetToken(app, ada.email);
      expect((await app.client().post('/auth/reset-password', resetBody(token, reset))).status).toBe(200);
      await login(app, ada.email, reset);
      const old = await app.client().post('/auth/login', { email: ada.email, password: changed });
      expect(old.status).toBe(401);
    });
  });
});
