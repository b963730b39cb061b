import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { areApart, interleaved } from '../support/timing.ts';
import { newEmail, newPerson } from '../support/users.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

test('the measure itself tells a skipped hash from noise', () => {
  const around = (ms: number): number[] => Array.from({ length: 12 }, (_, index) => ms + (index % 5));
  expect(areApart(around(60), around(3))).toBe(true);
  expect(areApart(around(60), around(61))).toBe(false);
});

inEveryMode(async (mode) => {
  describe('login', async () => {
    const app = await startApp(mode, { env: { BCRYPT_COST: '10' } });
    const attempt = (email: string): Promise<Answer> =>
      app.client().post('/auth/login', { email, password: 'wrong password' });

    test(
      'takes as long for an unknown or erased user and a pre-hashed password as for a wrong one',
      PATIENT,
      async () => {
        const ada = await newPerson(app);
        const gone = await newPerson(app);
        await gone.client.delete('/auth/me', { password: gone.password });
        const times = await interleaved(12, {
          unknown: () => attempt(newEmail('unknown')),
          wrong: () => attempt(ada.email),
          erased: () => attempt(gone.email),
          long: () => app.client().post('/auth/login', { email: newEmail(), password: 'x'.repeat(1000) }),
        });
        for (const kind of ['unknown', 'erased', 'long'] as const) {
          expect(areApart(times[kind], times.wrong), `${kind}: ${JSON.stringify(times)}`).toBe(false);
        }
      },
    );
  });

  describe('forgot-password and resend-verification', async () => {
    const app = await startApp(mode, { env: { LIMIT_MAIL_ACCOUNT: '1000/1h' } });

    test.each([
      ['/auth/forgot-password', 'reset-password', 0],
      ['/auth/resend-verification', 'verify-email', 1],
    ] as const)(
      '%s takes as long for a known as for an unknown e-mail',
      PATIENT,
      async (path, kind, already) => {
        const ada = await newPerson(app);
        await app.inbox.mail(ada.email, 'verify-email');
        let sent: number = already;
        const ask = (email: string): Promise<Answer> => app.client().post(path, { email });
        const times = await interleaved(25, {
          unknown: () => ask(newEmail('unknown')),
          known: async () => {
            const answer = await ask(ada.email);
            sent += 1;
            // Its mail would otherwise be at work during the next measurement.
            await mailSettled(app, ada.email, kind, sent);
            return answer;
          },
        });
        expect(areApart(times.unknown, times.known), JSON.stringify(times)).toBe(false);
      },
    );
  });
});

async function mailSettled(
  app: TestApp,
  email: string,
  kind: 'verify-email' | 'reset-password',
  nth: number,
): Promise<void> {
  await app.inbox.mail(email, kind, nth);
}
