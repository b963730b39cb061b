import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { apartFrom } from '../support/timing.ts';
import { newEmail, newPerson } from '../support/users.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

describe('the measure itself', () => {
  /** Answers after these times, over and over. */
  const taking =
    (...times: readonly number[]) =>
    () => {
      let calls = 0;
      return async () => ({ tookMs: times[calls++ % times.length] ?? 0 });
    };
  const [usual, noisy] = [taking(60, 61, 64, 62, 63), taking(64, 400, 59, 62, 60)];

  test('tells a skipped hash from noise', async () => {
    const skipped = taking(3, 4, 70, 5, 3, 4, 5);
    const apart = await apartFrom('usual', { usual: usual(), noisy: noisy(), skipped: skipped() });
    expect(Object.keys(apart)).toEqual(['usual', 'skipped']);
    const more = taking(90, 91, 92);
    expect(await apartFrom('usual', { usual: usual(), more: more() })).toHaveProperty('more');
  });

  test('takes nothing for apart that is so by chance, in one look', async () => {
    let calls = 0;
    const slowAtFirst = async () => ({ tookMs: (calls++ < 11 ? 90 : 60) + (calls % 5) });
    expect(await apartFrom('usual', { usual: usual(), slowAtFirst })).toEqual({});
    expect(calls).toBe(33);
  });

  test('finds a half more among answers that spread by 30 percent, and takes none for apart that are alike', async () => {
    let state = 1;
    // Chance that is the same each time.
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    /** Log-normal, as what a machine that does other things measures. */
    const spreading = (ms: number) => async () => {
      const [u, v] = [1 - next(), next()];
      return { tookMs: ms * Math.exp(0.3 * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v)) };
    };
    const found = { more: 0, alike: 0 };
    for (let run = 0; run < 200; run += 1) {
      const kinds = { usual: spreading(10), more: spreading(15), alike: spreading(10) };
      const apart = await apartFrom('usual', kinds);
      for (const kind of ['more', 'alike'] as const) found[kind] += kind in apart ? 1 : 0;
    }
    expect(found.alike).toBe(0);
    expect(found.more).toBeGreaterThan(160);
  });
});

inEveryMode(async (mode) => {
  const app = await startApp(mode, { env: { BCRYPT_COST: '9', LIMIT_MAIL_ACCOUNT: '1000/1h' } });

  describe('login', () => {
    const attempt = (email: string): Promise<Answer> =>
      app.client().post('/auth/login', { email, password: 'wrong password' });

    test(
      'takes as long for an unknown or erased user and a pre-hashed password as for a wrong one',
      PATIENT,
      async () => {
        const ada = await newPerson(app);
        const gone = await newPerson(app);
        await gone.client.delete('/auth/me', { password: gone.password });
        const apart = await apartFrom('wrong', {
          unknown: () => attempt(newEmail('unknown')),
          wrong: () => attempt(ada.email),
          erased: () => attempt(gone.email),
          long: () => app.client().post('/auth/login', { email: newEmail(), password: 'x'.repeat(1000) }),
        });
        expect(apart).toEqual({});
      },
    );
  });

  describe('forgot-password and resend-verification', () => {
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
        const apart = await apartFrom('unknown', {
          unknown: () => ask(newEmail('unknown')),
          known: async () => {
            const answer = await ask(ada.email);
            sent += 1;
            // Its mail would otherwise be at work during the next measurement.
            await app.inbox.mail(ada.email, kind, sent);
            return answer;
          },
        });
        expect(apart).toEqual({});
      },
    );
  });
});
