/** People who use the service. */
import { expect } from 'vitest';
import { type TestApp, unique } from './app.ts';
import type { Answer, Client, UserBody } from './client.ts';
import { eventually } from './wait.ts';

export interface SignedIn {
  readonly user: UserBody;
  readonly accessToken: string;
  /** From the body or the jar. */
  readonly refreshToken: string;
  readonly answer: Answer;
}

export interface Person {
  readonly client: Client;
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly password: string;
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** For clients without a jar: the refresh token comes in the body. */
export const IN_BODY = { noJar: true, headers: { 'x-token-transport': 'body' } } as const;

export const newEmail = (word = 'person'): string => `${unique(word)}@example.test`;
export const newPassword = (): string => unique('pass phrase');

/** What an answer to signup, login or refresh holds; fails on any other answer. */
export function signedIn(answer: Answer, status = 200, client?: Client): SignedIn {
  expect(answer.status, answer.text).toBe(status);
  const { user, accessToken, refreshToken } = answer.body;
  const refresh = refreshToken ?? client?.cookie('refresh_token');
  if (user === undefined || accessToken === undefined || refresh === undefined) {
    throw new Error(`not signed in: ${answer.text}`);
  }
  return { user, accessToken, refreshToken: refresh, answer };
}

/** Signs up a new person, whose browser then holds the cookies. */
export async function newPerson(
  app: TestApp,
  given: { readonly email?: string; readonly name?: string; readonly password?: string } = {},
): Promise<Person> {
  const { email = newEmail(), name = 'Ada Example', password = newPassword() } = given;
  const client = app.client();
  const result = signedIn(await client.post('/auth/signup', { email, name, password }), 201, client);
  const { user, accessToken, refreshToken } = result;
  return { client, id: user.id, email, name, password, accessToken, refreshToken };
}

/** Logs in with a client of its own. */
export async function login(
  app: TestApp,
  email: string,
  password: string,
): Promise<SignedIn & { client: Client }> {
  const client = app.client();
  return { ...signedIn(await client.post('/auth/login', { email, password }), 200, client), client };
}

/** Waits until it is ready: where the machine stood still for longer than a lease, the next heartbeat is awaited. */
export async function expectReady(app: TestApp): Promise<void> {
  await eventually(async () => expect((await app.client().get('/readyz')).status).toBe(200));
}

/** Whether this client's session is alive, as the service sees it. */
export async function isAlive(client: Client): Promise<boolean> {
  const { status } = await client.get('/auth/me');
  expect([200, 401]).toContain(status);
  return status === 200;
}

/** Asks for a reset link and takes its token from the mail. */
export async function resetToken(app: TestApp, email: string, nth = 1): Promise<string> {
  expect((await app.client().post('/auth/forgot-password', { email })).status).toBe(202);
  return app.inbox.token(email, 'reset-password', nth);
}

/** Body of a reset. */
export const resetBody = (token: string, password: string): object => ({
  token,
  password,
  confirmPassword: password,
});
