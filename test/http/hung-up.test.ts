/** Clients that hang up before they are answered, on purpose or because the network is gone. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { startApp } from '../support/app.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { newPostgresDatabase } from '../support/stores.ts';
import { login, newPassword, newPerson, type Person } from '../support/users.ts';
import { eventually } from '../support/wait.ts';
import { carries } from '../support/wire.ts';

const url = await newPostgresDatabase();
const proxy = await createLagProxy({ targetPort: Number(new URL(url).port) });
afterAll(() => proxy.close());
const app = await startApp('postgres-only', { env: { DATABASE_URL: proxy.through(url) } });

const sessionIdOf = ({ refreshToken }: Pick<Person, 'refreshToken'>): string => refreshToken.slice(0, 24);

/** Sends it on a connection of its own, which is gone before the session is looked up. */
async function sendAndHangUp(
  ada: Pick<Person, 'accessToken' | 'refreshToken'>,
  method: string,
  path: string,
  json?: object,
): Promise<void> {
  const body = json === undefined ? '' : JSON.stringify(json);
  const head = [
    `${method} ${path} HTTP/1.1`,
    'Host: auth',
    `Authorization: Bearer ${ada.accessToken}`,
    ...(json === undefined ? [] : ['Content-Type: application/json', `Content-Length: ${body.length}`]),
  ];
  const held = proxy.holdNext(carries(sessionIdOf(ada)));
  const accepted = once(app.app.server, 'connection') as Promise<[{ closed: boolean; destroyed: boolean }]>;
  const client = connect(Number(new URL(app.url).port), '127.0.0.1');
  client.write(`${head.join('\r\n')}\r\n\r\n${body}`);
  const [socket] = await accepted;
  expect(await held).toBe(true);
  client.destroy();
  await eventually(() => socket.destroyed);
  proxy.heal();
}

async function eventCount(event: string, outcome: string): Promise<number> {
  const text = await app.app.metrics.registry.metrics();
  const line = new RegExp(`^auth_events_total\\{event="${event}",outcome="${outcome}"[^}]*\\} (\\d+)$`, 'm');
  return Number(line.exec(text)?.[1] ?? 0);
}

/** Does it, and waits for its line in the audit trail, which is counted where it is written. */
async function expectNoted(event: string, outcome: string, act: () => Promise<void>): Promise<void> {
  const before = await eventCount(event, outcome);
  await act();
  await eventually(async () => expect(await eventCount(event, outcome)).toBe(before + 1));
}

test('a change of the password is noted, and its owner warned', async () => {
  const ada = await newPerson(app);
  const body = { currentPassword: ada.password, newPassword: newPassword() };
  await expectNoted('change-password', 'success', () =>
    sendAndHangUp(ada, 'POST', '/auth/change-password', body),
  );
  await app.inbox.mail(ada.email, 'notice');
  await login(app, ada.email, body.newPassword);
});

test('a wrong current password is noted', async () => {
  const ada = await newPerson(app);
  const body = { currentPassword: 'wrong password', newPassword: newPassword() };
  await expectNoted('change-password', 'failure', () =>
    sendAndHangUp(ada, 'POST', '/auth/change-password', body),
  );
});

test('the end of a session is noted', async () => {
  const ada = await newPerson(app);
  const elsewhere = await login(app, ada.email, ada.password);
  await expectNoted('session-ended', 'success', () =>
    sendAndHangUp(ada, 'DELETE', `/auth/sessions/${sessionIdOf(elsewhere)}`),
  );
});

test('the end of an account is noted', async () => {
  const ada = await newPerson(app);
  await expectNoted('delete-account', 'success', () =>
    sendAndHangUp(ada, 'DELETE', '/auth/me', { password: ada.password }),
  );
});

test('one more link is mailed', async () => {
  const ada = await newPerson(app);
  await app.inbox.mail(ada.email, 'verify-email');
  await expectNoted('resend-verification', 'success', () =>
    sendAndHangUp(ada, 'POST', '/auth/resend-verification'),
  );
  await app.inbox.mail(ada.email, 'verify-email', 2);
});

test('a refresh that was given up on, and answered elsewhere since, ends no session however late it is found', async () => {
  const ada = await newPerson(app);
  const refresh = (bearer: string | undefined) => app.client().get('/auth/refresh', { bearer });
  const { refreshToken } = (await refresh(ada.refreshToken)).body;
  app.clock.advance(app.config.refreshLeewayMs + 1);
  const late = { ...ada, accessToken: ada.refreshToken };
  await expectNoted('refresh', 'failure', () => sendAndHangUp(late, 'GET', '/auth/refresh'));
  expect((await refresh(refreshToken)).status).toBe(200);
  // Whoever waits for an answer is another matter.
  expect((await refresh(ada.refreshToken)).status).toBe(401);
  expect((await refresh(refreshToken)).status).toBe(401);
});
