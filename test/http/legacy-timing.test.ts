import { describe, expect, test } from 'vitest';
import { startApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { insertLegacyUser } from '../support/legacy-fixtures.ts';
import { apartFrom } from '../support/timing.ts';
import { newEmail, newPerson } from '../support/users.ts';

/** Hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

describe('login of users whom the old service left', async () => {
  const app = await startApp('mongo-only', { env: { BCRYPT_COST: '9' } });

  test('takes as long without a usable password as with a wrong one', PATIENT, async () => {
    const ada = await newPerson(app);
    const [none, garbage] = [newEmail('none'), newEmail('garbage')];
    await insertLegacyUser(app, { email: none, passwordHash: null });
    await insertLegacyUser(app, { email: garbage, passwordHash: 'md5:0123456789abcdef' });
    const attempt = (email: string): Promise<Answer> =>
      app.client().post('/auth/login', { email, password: 'wrong password' });
    const apart = await apartFrom('wrong', {
      none: () => attempt(none),
      garbage: () => attempt(garbage),
      wrong: () => attempt(ada.email),
    });
    expect(apart).toEqual({});
  });
});
