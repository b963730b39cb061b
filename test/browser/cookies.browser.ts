import { expect, test } from 'vitest';
import { FIRST_MODE } from '../../plugins/config/modes.ts';
import { SECOND } from '../support/app.ts';
import { newEmail, newPassword } from '../support/users.ts';
import { call, newVisitor, startBrowser, type Visitor } from './support/browser.ts';
import { startSite } from './support/site.ts';

const browser = await startBrowser();
const sites = {
  http: await startSite(FIRST_MODE, 'http'),
  https: await startSite('postgres-only', 'https'),
};
const schemes = ['http', 'https'] as const;

async function signUp(visitor: Visitor, origin: string) {
  const page = await visitor.open(`${origin}/dev/inbox`);
  const body = { email: newEmail(), name: 'Ada', password: newPassword() };
  expect((await call(page, 'POST', '/auth/signup', body)).status).toBe(201);
  return page;
}

test.each([
  ['http', false, 'access_token', 'refresh_token'],
  ['https', true, '__Host-access_token', '__Secure-refresh_token'],
] as const)(
  'over %s the jar holds both cookies, and no script sees them',
  async (scheme, secure, access, refresh) => {
    const visitor = await newVisitor(browser);
    const page = await signUp(visitor, sites[scheme].origin);
    const jar = (await visitor.context.cookies()).map(
      ({ name, path, httpOnly, secure, sameSite, domain }) => ({
        ...{ name, path, httpOnly, secure, sameSite, domain },
      }),
    );
    const common = { httpOnly: true, secure, domain: '127.0.0.1' };
    expect(jar.sort((a, b) => a.path.length - b.path.length)).toEqual([
      { name: access, path: '/', sameSite: 'Lax', ...common },
      { name: refresh, path: '/auth', sameSite: 'Strict', ...common },
    ]);
    expect(await page.evaluate('document.cookie')).toBe('');
    await page.goto(`${sites[scheme].origin}/auth/sessions`);
    expect(await page.evaluate('document.cookie')).toBe('');
    expect(await page.locator('body').innerText()).toContain('"current":true');
  },
);

test('the refresh token is sent to /auth only', async () => {
  const visitor = await newVisitor(browser);
  const page = await signUp(visitor, sites.https.origin);
  await call(page, 'GET', '/auth/refresh');
  await page.goto(`${sites.https.origin}/dev/inbox`);
  for (const request of visitor.requests) {
    const { cookie = '' } = await request.allHeaders();
    if (!new URL(request.url()).pathname.startsWith('/auth/')) expect(cookie).not.toContain('refresh_token');
  }
  const [refreshed] = visitor.requests.filter((request) => request.url().endsWith('/auth/refresh'));
  expect((await refreshed?.allHeaders())?.['cookie']).toContain('__Secure-refresh_token=');
});

test.each(schemes)('over %s two tabs that refresh at once both stay signed in', async (scheme) => {
  const { origin, app } = sites[scheme];
  const visitor = await newVisitor(browser);
  const first = await signUp(visitor, origin);
  const second = await visitor.open(`${origin}/dev/inbox`);
  for (let round = 1; round <= 5; round++) {
    const answers = await Promise.all(
      [first, second, first, second].map((tab) => call(tab, 'GET', '/auth/refresh')),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    // The jar may hold only a token that the next round can still use.
    app.clock.advance(app.config.refreshLeewayMs + SECOND);
  }
  for (const tab of [first, second]) expect((await call(tab, 'GET', '/auth/me')).status).toBe(200);
});

test.each(schemes)('over %s a logout in one tab ends the other one', async (scheme) => {
  const { origin } = sites[scheme];
  const visitor = await newVisitor(browser);
  const first = await signUp(visitor, origin);
  const second = await visitor.open(`${origin}/dev/inbox`);
  expect((await call(second, 'GET', '/auth/me')).status).toBe(200);
  expect((await call(first, 'POST', '/auth/logout')).status).toBe(204);
  expect(await visitor.context.cookies()).toEqual([]);
  expect((await call(second, 'GET', '/auth/me')).status).toBe(401);
  expect((await call(second, 'GET', '/auth/refresh')).status).toBe(401);
});
