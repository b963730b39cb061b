/** What is refused, and what ends by the way, leaves its line in the audit trail, too. */
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { HashingOverloaded } from '../../plugins/passwords/passwords.ts';
import { SECOND, startApp, type TestApp } from '../support/app.ts';
import type { Answer } from '../support/client.ts';
import { login, newEmail, newPassword, newPerson, type Person } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

const app = await startApp('postgres-only', { env: { PASSWORD_BLOCKLIST: 'true', SESSIONS_MAX: '2' } });
afterEach(() => void vi.restoreAllMocks());

/** What is counted from now on, and how often a line is written, each with a digest of the address. */
function watch(watched: TestApp = app) {
  const counted = vi.spyOn(watched.app.metrics, 'authEvent');
  const digest = vi.spyOn(watched.app.keyring, 'digest');
  return {
    events: () => counted.mock.calls.map(([event]) => ({ ...event })),
    lines: () => digest.mock.calls.filter(([purpose]) => purpose === 'address-digest').length,
  };
}

const sessionIdOf = ({ refreshToken }: { readonly refreshToken: string }) => refreshToken.split('.')[0];

type Act = (ada: Person) => Promise<Answer>;

const change = ({ client, password }: Person, newPass = newPassword()) =>
  client.post('/auth/change-password', { currentPassword: password, newPassword: newPass });

/** The right password, but before it is known to be right somebody else has been there. */
function overtakenBy(meanwhile: (ada: Person) => Promise<unknown>, act: Act): Act {
  return (ada) => {
    const { passwords } = app.app;
    const verify = passwords.verify;
    vi.spyOn(passwords, 'verify').mockImplementationOnce(async (...given) => {
      await meanwhile(ada);
      return verify(...given);
    });
    return act(ada);
  };
}

const endSessions = ({ id: userId }: Person) =>
  app.app.repository.endSessions({ userId, now: app.clock.now() });
const eraseUser = ({ id: userId }: Person) =>
  app.app.repository.eraseUser({ userId, sessionGeneration: null, now: app.clock.now() });
const erase: Act = ({ client, password }) => client.delete('/auth/me', { password });

describe('a refusal is one line', () => {
  test.each<[string, string, Act]>([
    ['change-password', 'changed_meanwhile', overtakenBy(endSessions, (ada) => change(ada))],
    ['change-password', 'unauthenticated', overtakenBy(eraseUser, (ada) => change(ada))],
    ['change-password', 'weak_password', (ada) => change(ada, 'password123')],
    ['delete-account', 'changed_meanwhile', overtakenBy(endSessions, erase)],
    ['delete-account', 'unauthenticated', overtakenBy(eraseUser, erase)],
    ['session-ended', 'session_not_found', ({ client }) => client.delete(`/auth/sessions/${'0'.repeat(24)}`)],
  ])('%s: %s, of whom', async (event, reason, act) => {
    const ada = await newPerson(app);
    const { events, lines } = watch();
    expect((await act(ada)).body.code).toBe(reason);
    expect(events()).toEqual([{ event, outcome: 'failure', reason, userId: ada.id }]);
    expect(lines()).toBe(1);
  });

  const foreign = { headers: { origin: 'https://evil.test' } };
  test.each<[string, string, Act]>([
    [
      'login',
      'cross_site',
      ({ client, email, password }) => client.post('/auth/login', { email, password }, foreign),
    ],
    ['request', 'cross_site', ({ client }) => client.get('/auth/me', foreign)],
    [
      'login',
      'hashing_overloaded',
      ({ client, email, password }) => {
        vi.spyOn(app.app.passwords, 'verify').mockRejectedValueOnce(new HashingOverloaded());
        return client.post('/auth/login', { email, password });
      },
    ],
  ])('%s: %s, of nobody in particular', async (event, reason, act) => {
    const ada = await newPerson(app);
    const { events, lines } = watch();
    expect((await act(ada)).body.code).toBe(reason);
    expect(events()).toEqual([{ event, outcome: 'failure', reason }]);
    expect(lines()).toBe(1);
  });

  test('a request without a valid access token is counted, and no line', async () => {
    const { events, lines } = watch();
    expect((await app.client().get('/auth/me', { bearer: 'x' })).status).toBe(401);
    expect(events()).toEqual([{ event: 'request', outcome: 'failure', reason: 'unauthenticated' }]);
    expect(lines()).toBe(0);
  });
});

describe('what ends by the way is one line, too', () => {
  test('sessions that a login replaces and pushes past the bound', async () => {
    const [ada, eve] = [await newPerson(app), await newPerson(app)];
    app.clock.advance(SECOND);
    await login(app, ada.email, ada.password);
    const { events } = watch();
    const { email, password } = ada;
    expect((await eve.client.post('/auth/login', { email, password })).status).toBe(200);
    const ended = { event: 'session-ended', outcome: 'success' };
    expect(events().slice(1)).toEqual([
      { ...ended, reason: 'replaced', userId: eve.id, sessionId: sessionIdOf(eve) },
      { ...ended, reason: 'limit', userId: ada.id, sessionId: sessionIdOf(ada) },
    ]);
  });

  test('the session that a signup replaces', async () => {
    const ada = await newPerson(app);
    const { events } = watch();
    const body = { email: newEmail(), name: 'x', password: newPassword() };
    expect((await ada.client.post('/auth/signup', body)).status).toBe(201);
    const [userId, sessionId] = [ada.id, sessionIdOf(ada)];
    const ended = { event: 'session-ended', outcome: 'success', reason: 'replaced', userId, sessionId };
    await eventually(() => expect(events()).toContainEqual(ended));
  });

  test('a hash that gives way to one of higher cost', async () => {
    const costly = await startApp('postgres-only', {
      beside: app,
      env: { BCRYPT_COST: '5' },
      onEnd: (close) => onTestFinished(close),
    });
    const ada = await newPerson(app);
    const { events } = watch(costly);
    await login(costly, ada.email, ada.password);
    const upgraded = { event: 'hash-upgrade', outcome: 'success', userId: ada.id };
    await eventually(() => expect(events()).toContainEqual(upgraded));
  });
});
