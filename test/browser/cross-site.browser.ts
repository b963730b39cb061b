import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { newEmail, newPassword } from '../support/users.ts';
import { call, newVisitor, startBrowser, type Visitor } from './support/browser.ts';
import { type Scheme, serve } from './support/front.ts';
import { startSite } from './support/site.ts';

const browser = await startBrowser();

/** Pages of somebody else, on another host name and so on another site; what they do is in their query. */
const startEvil = (scheme: Scheme): Promise<string> =>
  serve(scheme, 'localhost', (request, answer) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const url = searchParams.get('url') ?? '';
    const pages: Readonly<Record<string, string>> = {
      '/image': `<img src="${url}">`,
      '/form': `<form method="${searchParams.get('method')}" action="${url}" enctype="text/plain"><button>Win!</button></form>`,
    };
    answer.setHeader('Content-Type', 'text/html').end(`<!doctype html>${pages[pathname] ?? ''}`);
  });

/** The browser then sends the cookies when another site navigates here: what is left is the service's own defence. */
const NONE = { COOKIE_SAMESITE_ACCESS: 'None', COOKIE_SAMESITE_REFRESH: 'None' };

describe.each([
  ['http and the usual cookies', 'http', {}],
  ['TLS and the usual cookies', 'https', {}],
  ['TLS and SameSite=None', 'https', NONE],
] as const)('a page on another site, over %s,', async (_name, scheme, env) => {
  const { origin, app } = await startSite('postgres-only', scheme, env);
  const evilOrigin = await startEvil(scheme);

  async function victim() {
    const visitor = await newVisitor(browser);
    const page = await visitor.open(`${origin}/dev/inbox`);
    const [email, password] = [newEmail(), newPassword()];
    expect((await call(page, 'POST', '/auth/signup', { email, name: 'Ada', password })).status).toBe(201);
    return { visitor, page, email, password, evil: await visitor.open(evilOrigin) };
  }

  /** The same tokens in the jar as before, and a session that is alive and can go on. */
  async function expectUnharmed(visitor: Visitor, page: Page, jar: string): Promise<void> {
    expect(await jarOf(visitor)).toBe(jar);
    expect((await call(page, 'GET', '/auth/me')).status).toBe(200);
    app.clock.advance(app.config.refreshLeewayMs + 1);
    expect((await call(page, 'GET', '/auth/refresh')).status).toBe(200);
  }

  test.each([
    ['GET', '/auth/refresh', 'cors'],
    ['GET', '/auth/me', 'cors'],
    ['GET', '/auth/sessions', 'cors'],
    ['POST', '/auth/logout', 'cors'],
    ['POST', '/auth/change-password', 'cors'],
    ['DELETE', '/auth/me', 'cors'],
    ['GET', '/auth/refresh', 'no-cors'],
    ['POST', '/auth/logout', 'no-cors'],
  ] as const)('reads and changes nothing by fetch: %s %s (%s)', async (method, path, mode) => {
    const { visitor, page, evil, password } = await victim();
    const jar = await jarOf(visitor);
    const json =
      method === 'GET'
        ? null
        : JSON.stringify({ password, currentPassword: password, newPassword: newPassword() });
    const got = await evil.evaluate(
      async ([url, verb, how, body]) => {
        try {
          const headers = { 'Content-Type': how === 'cors' ? 'application/json' : 'text/plain' };
          const sent = body === null ? {} : { headers, body };
          const answer = await fetch(url, { method: verb, mode: how, credentials: 'include', ...sent });
          return `${answer.type} ${await answer.text()}`;
        } catch {
          return 'refused';
        }
      },
      [`${origin}${path}`, method, mode, json] as const,
    );
    expect(got).toBe('refused');
    await expectUnharmed(visitor, page, jar);
  });

  test('rotates nothing by an image', async () => {
    const { visitor, page, evil } = await victim();
    const jar = await jarOf(visitor);
    await evil.goto(`${evilOrigin}/image?url=${encodeURIComponent(`${origin}/auth/refresh`)}`);
    expect(visitor.requests.some((request) => request.resourceType() === 'image')).toBe(true);
    await expectUnharmed(visitor, page, jar);
  });

  test.each([
    ['POST', '/auth/logout', 403],
    ['POST', '/auth/change-password', 415],
    ['POST', '/auth/login', 415],
    ['GET', '/auth/refresh', 403],
  ] as const)('gets nowhere by a form or a link: %s %s', async (method, path, status) => {
    const { visitor, page, evil } = await victim();
    const jar = await jarOf(visitor);
    await evil.goto(`${evilOrigin}/form?method=${method}&url=${encodeURIComponent(`${origin}${path}`)}`);
    const answered = evil.waitForResponse((answer) => answer.url().startsWith(`${origin}${path}`));
    await evil.getByRole('button').click();
    const answer = await answered;
    await expectUnharmed(visitor, page, jar);
    expect(answer.status()).toBe(status);
  });
});

async function jarOf(visitor: Visitor): Promise<string> {
  const cookies = await visitor.context.cookies();
  return cookies
    .map(({ name, value }) => `${name}=${value}`)
    .sort()
    .join('; ');
}
