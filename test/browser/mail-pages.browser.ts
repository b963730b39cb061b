import type { Locator, Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { FIRST_MODE } from '../../plugins/config/modes.ts';
import { newEmail, newPassword } from '../support/users.ts';
import { eventually } from '../support/wait.ts';
import { call, newVisitor, startBrowser, type Visitor } from './support/browser.ts';
import { startSite } from './support/site.ts';

const site = await startSite(FIRST_MODE, 'http');
const browser = await startBrowser();

interface SignedUp {
  readonly email: string;
  readonly password: string;
}

/** Signs up on a page of the service, which is where the visitor then is: the inbox. */
async function signUp(visitor: Visitor): Promise<SignedUp> {
  const [email, password] = [newEmail(), newPassword()];
  const page = await visitor.open(`${site.origin}/dev/inbox`);
  expect((await call(page, 'POST', '/auth/signup', { email, name: 'Ada', password })).status).toBe(201);
  return { email, password };
}

/** Opens the inbox, follows the newest mail's link to this address, and gives the page and the link. */
async function followLink(visitor: Visitor, email: string, subject: RegExp) {
  const inbox = await visitor.open(`${site.origin}/dev/inbox`);
  const mail = inbox.locator('article', { hasText: email }).filter({ hasText: subject }).first();
  await reloadUntilShown(inbox, mail);
  const link = mail.locator('a');
  const token =
    new URLSearchParams(new URL((await link.innerText()).trim()).hash.slice(1)).get('token') ?? '';
  expect(token.length).toBeGreaterThan(40);
  await link.click();
  await inbox.locator('[role=status]').waitFor({ state: 'attached' });
  return { page: inbox, token };
}

/** Mails leave after the answer. */
async function reloadUntilShown(page: Page, wanted: Locator): Promise<void> {
  await eventually(async () => {
    await page.reload();
    return (await wanted.count()) > 0;
  });
}

/** No request told anybody the token or where it came from, and no page complained. */
async function expectNoLeak(visitor: Visitor, token: string): Promise<void> {
  expect(visitor.requests.map((request) => request.url()).filter((url) => url.includes(token))).toEqual([]);
  for (const request of visitor.requests) {
    const { referer = '' } = await request.allHeaders();
    expect(referer, request.url()).toBe('');
    const answer = await request.response();
    if (request.isNavigationRequest()) expect(answer?.headers()['referrer-policy']).toBe('no-referrer');
  }
  expect(visitor.errors).toEqual([]);
}

test('the link in a verification mail opens a page that verifies on a click, not before', async () => {
  const visitor = await newVisitor(browser);
  const { email } = await signUp(visitor);
  const { page, token } = await followLink(visitor, email, /verify/i);
  expect(await page.title()).toBe('Verify your e-mail');
  await page.reload();
  expect((await call(page, 'GET', '/auth/me')).body.user?.isVerified).toBe(false);
  await page.getByRole('button').click();
  await page.getByText('Your e-mail is verified.').waitFor();
  expect((await call(page, 'GET', '/auth/me')).body.user?.isVerified).toBe(true);
  await expectNoLeak(visitor, token);
});

test('a verification link that was used says so', async () => {
  const visitor = await newVisitor(browser);
  const { email } = await signUp(visitor);
  const { page } = await followLink(visitor, email, /verify/i);
  expect((await call(page, 'POST', '/auth/verify-email', { token: tokenOf(page.url()) })).status).toBe(200);
  await page.getByRole('button').click();
  await page
    .getByRole('status')
    .getByText(/token|link/i)
    .waitFor();
});

test('the link in a reset mail opens a page with two fields, which must agree', async () => {
  const visitor = await newVisitor(browser);
  const { email, password } = await signUp(visitor);
  const elsewhere = await visitor.open(`${site.origin}/dev/inbox`);
  expect((await call(elsewhere, 'POST', '/auth/forgot-password', { email })).status).toBe(202);
  const { page, token } = await followLink(visitor, email, /password/i);
  const changed = newPassword();
  await page.getByLabel('New password').fill(changed);
  await page.getByLabel('Again').fill(`${changed}!`);
  await page.getByRole('button').click();
  await page.getByText("Passwords don't match").waitFor();
  visitor.forget('400');
  expect((await call(page, 'POST', '/auth/login', { email, password })).status).toBe(200);
  await page.getByLabel('Again').fill(changed);
  // As users do.
  await page.getByLabel('Again').press('Enter');
  await page.getByText('Your password was changed.').waitFor();
  expect((await call(page, 'GET', '/auth/me')).status).toBe(401);
  expect((await call(page, 'POST', '/auth/login', { email, password: changed })).status).toBe(200);
  visitor.forget('401');
  await expectNoLeak(visitor, token);
});

test('the inbox shows the text of a mail, and can be emptied', async () => {
  const visitor = await newVisitor(browser);
  const { email } = await signUp(visitor);
  const page = await visitor.open(`${site.origin}/dev/inbox`);
  await reloadUntilShown(page, page.getByText(email));
  expect(await page.locator('article').first().innerText()).toContain(
    'please confirm that this is your e-mail address',
  );
  await page.getByRole('button', { name: 'Empty' }).click();
  await page.getByText('No mails yet.').waitFor();
  expect(visitor.errors).toEqual([]);
});

const tokenOf = (url: string): string => new URLSearchParams(new URL(url).hash.slice(1)).get('token') ?? '';
