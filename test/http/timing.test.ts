import { describe, expect, test } from 'vitest';
import { inEveryMode, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { insertLegacyUser } from '../support/legacy-fixtures.ts';
import { newEmail, newPerson } from '../support/users.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** The z score of the Mann-Whitney rank-sum test: how many standard deviations the two samples lie apart in rank. */
function rankSumZ(a: readonly number[], b: readonly number[]): number {
  const ranked = [...a.map((value) => ({ value, of: 'a' })), ...b.map((value) => ({ value, of: 'b' }))]
    .sort((x, y) => x.value - y.value)
    .map((each, index) => ({ ...each, rank: index + 1 }));
  const sumA = ranked.filter(({ of }) => of === 'a').reduce((sum, { rank }) => sum + rank, 0);
  const [m, n] = [a.length, b.length];
  return (sumA - (m * (m + n + 1)) / 2) / Math.sqrt((m * n * (m + n + 1)) / 12);
}

/** Apart both in rank and by more than a quarter: chance or a busy machine gives one of the two, a skipped hash both. */
function areApart(a: readonly number[], b: readonly number[]): boolean {
  const ratio = median(a) / median(b);
  return Math.abs(rankSumZ(a, b)) > 3.5 && (ratio > 1.25 || ratio < 0.8);
}

/** Measures the kinds in turn, so that whatever else the machine does strikes them alike. */
async function interleaved<K extends string>(
  rounds: number,
  kinds: Readonly<Record<K, () => Promise<Answer>>>,
): Promise<Record<K, number[]>> {
  const names = Object.keys(kinds) as K[];
  const times = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = -1; round < rounds; round += 1) {
    // Each kind comes first equally often.
    const order = [
      ...names.slice(Math.abs(round) % names.length),
      ...names.slice(0, Math.abs(round) % names.length),
    ];
    for (const name of order) {
      const { tookMs } = await kinds[name]();
      if (round >= 0) times[name].push(tookMs);
    }
  }
  return times;
}

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

describe('login of users whom the old service left', async () => {
  const app = await startApp('mongo-only', { env: { BCRYPT_COST: '10' } });

  test('takes as long without a usable password as with a wrong one', PATIENT, async () => {
    const ada = await newPerson(app);
    const [none, garbage] = [newEmail('none'), newEmail('garbage')];
    await insertLegacyUser(app, { email: none, passwordHash: null });
    await insertLegacyUser(app, { email: garbage, passwordHash: 'md5:0123456789abcdef' });
    const attempt = (email: string): Promise<Answer> =>
      app.client().post('/auth/login', { email, password: 'wrong password' });
    const times = await interleaved(12, {
      none: () => attempt(none),
      garbage: () => attempt(garbage),
      wrong: () => attempt(ada.email),
    });
    for (const kind of ['none', 'garbage'] as const) {
      expect(areApart(times[kind], times.wrong), `${kind}: ${JSON.stringify(times)}`).toBe(false);
    }
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
