/** Writes that were done, or may have been, but of which the store's answer was lost: 503, and still in the audit trail. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Repository } from '../../db/port.ts';
import { MINUTE, SECOND, startApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { legacyJwt } from '../support/legacy-jwt.ts';
import {
  IN_BODY,
  login,
  newEmail,
  newPassword,
  newPerson,
  type Person,
  resetBody,
  resetToken,
  signedIn,
} from '../support/users.ts';

const SECRET = 'not a real secret but long enough for the test';
const app = await startApp('postgres-only', {
  env: { LEGACY_JWT_SECRET: SECRET, LEGACY_JWT_UNTIL: '2099-01-01' },
});
const other = await startApp('postgres-only', { beside: app });
afterEach(() => void vi.restoreAllMocks());

/** The next operation of this name is done, and its answer lost. */
function loseAnswerOf(operation: keyof Repository): void {
  const { repository } = app.app;
  const act = repository[operation] as (...given: unknown[]) => Promise<unknown>;
  vi.spyOn(repository, operation).mockImplementationOnce(async (...given: unknown[]) => {
    await act(...given);
    throw new StoreUnavailable('postgres', 'unknown', 'connection-lost');
  });
}

type Act = (ada: Person) => Promise<Answer>;

const signup: Act = () => {
  const body = { email: newEmail(), name: 'x', password: newPassword() };
  return app.client().post('/auth/signup', body);
};
const logIn: Act = ({ email, password }) => app.client().post('/auth/login', { email, password });
const refresh: Act = ({ client }) => client.get('/auth/refresh');
const logout: Act = ({ client }) => client.post('/auth/logout');
const verify: Act = async ({ email }) =>
  app.client().post('/auth/verify-email', { token: await app.inbox.token(email, 'verify-email') });
const resend: Act = ({ email }) => app.client().post('/auth/resend-verification', { email });
const forgot: Act = ({ email }) => app.client().post('/auth/forgot-password', { email });
const change: Act = ({ client, password }) =>
  client.post('/auth/change-password', { currentPassword: password, newPassword: newPassword() });
const reset: Act = async ({ email }) =>
  app.client().post('/auth/reset-password', resetBody(await resetToken(app, email), newPassword()));
const erase: Act = ({ client, password }) => client.delete('/auth/me', { password });
const end: Act = async ({ client, email, password }) => {
  const [id] = (await login(app, email, password)).refreshToken.split('.');
  return client.delete(`/auth/sessions/${id}`);
};

test.each<[string, keyof Repository, Act]>([
  ['signup', 'createAccount', signup],
  ['login', 'openSession', logIn],
  ['refresh', 'rotateSession', refresh],
  ['logout', 'revokeSession', logout],
  ['verify-email', 'verifyEmail', verify],
  ['resend-verification', 'addVerificationToken', resend],
  ['reset-asked', 'requestReset', forgot],
  ['reset', 'consumeReset', reset],
  ['change-password', 'changePassword', change],
  ['delete-account', 'eraseUser', erase],
  ['session-ended', 'revokeSession', end],
])('%s: it is noted that its outcome is unknown', async (event, operation, act) => {
  const ada = await newPerson(app);
  const noted = vi.spyOn(app.app.metrics, 'authEvent');
  loseAnswerOf(operation);
  const answer = await act(ada);
  expect([answer.status, answer.body.code]).toEqual([503, 'store_unavailable']);
  const unknown = noted.mock.calls.map(([each]) => each).filter(({ outcome }) => outcome === 'unknown');
  const userId = event === 'signup' ? expect.any(String) : ada.id;
  expect(unknown).toEqual([expect.objectContaining({ event, userId })]);
});

describe('a new password whose outcome is unknown', () => {
  test.each<[string, keyof Repository, Act]>([
    ['reset', 'consumeReset', reset],
    ['change', 'changePassword', change],
  ])('by a %s: its owner is warned', async (_, operation, act) => {
    const ada = await newPerson(app);
    loseAnswerOf(operation);
    expect((await act(ada)).status).toBe(503);
    await app.inbox.mail(ada.email, 'notice');
  });
});

test('what certainly was not done is not noted so', async () => {
  const ada = await newPerson(app);
  const noted = vi.spyOn(app.app.metrics, 'authEvent');
  const none = new StoreUnavailable('postgres', 'none', 'connect');
  vi.spyOn(app.app.repository, 'changePassword').mockRejectedValueOnce(none);
  expect((await change(ada)).status).toBe(503);
  expect(noted.mock.calls).toEqual([]);
});

describe('a refresh whose rotation was done without an answer', () => {
  const present = (bearer: string, at = app): Promise<Answer> => at.client().get('/auth/refresh', { bearer });

  async function lostRotation(): Promise<Person> {
    const ada = await newPerson(app);
    loseAnswerOf('rotateSession');
    const answer = await present(ada.refreshToken);
    expect(answer.status).toBe(503);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    return ada;
  }

  test('can be tried again at any instance within the leeway', async () => {
    const { refreshToken } = await lostRotation();
    app.clock.advance(9 * SECOND);
    const { refreshToken: successor } = signedIn(await present(refreshToken, other));
    signedIn(await present(successor));
  });

  test('can be tried again at the same instance after a longer one, as often as the answer is lost', async () => {
    const { refreshToken } = await lostRotation();
    app.clock.advance(3 * MINUTE);
    const { refreshToken: successor } = signedIn(await present(refreshToken));
    app.clock.advance(3 * MINUTE);
    expect(signedIn(await present(refreshToken)).refreshToken).toBe(successor);
    signedIn(await present(successor));
  });

  test.each<[string, (refreshToken: string) => Promise<unknown>]>([
    [
      'once its successor was used',
      async (refreshToken) => {
        const { refreshToken: successor } = signedIn(await present(refreshToken));
        signedIn(await present(successor));
      },
    ],
    ['after ten minutes', async () => app.clock.advance(10 * MINUTE)],
  ])('is theft %s', async (_, later) => {
    const { refreshToken, client } = await lostRotation();
    await later(refreshToken);
    expect((await present(refreshToken)).body.code).toBe('refresh_invalid');
    expect((await client.get('/auth/me')).status).toBe(401);
  });

  test('is theft at the same time for a token that was rotated with an answer', async () => {
    const ada = await newPerson(app);
    signedIn(await present(ada.refreshToken));
    await lostRotation();
    app.clock.advance(3 * MINUTE);
    expect((await present(ada.refreshToken)).body.code).toBe('refresh_invalid');
    expect((await ada.client.get('/auth/me')).status).toBe(401);
  });

  test('so can the exchange of an old token', async () => {
    const { id } = await newPerson(app);
    const seconds = Math.floor(app.clock.now().getTime() / 1000);
    const token = legacyJwt(SECRET, { sub: id, iat: seconds, exp: seconds + 86_400 });
    const exchange = () => app.client().get('/auth/refresh', { bearer: token, ...IN_BODY });
    loseAnswerOf('openSession');
    expect((await exchange()).status).toBe(503);
    app.clock.advance(3 * MINUTE);
    signedIn(await present(signedIn(await exchange()).refreshToken));
  });
});
