import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { FIRST_MODE } from '../../plugins/config/modes.ts';
import { newEmail, newPassword } from '../support/users.ts';
import { newVisitor, startBrowser } from './support/browser.ts';
import { startSite } from './support/site.ts';

const site = await startSite(FIRST_MODE, 'http');
const browser = await startBrowser();

/** Opens an operation, fills in its body, executes it; returns the status shown and the answer's body. */
async function tryOut(page: Page, operation: string, body?: unknown): Promise<readonly [string, string]> {
  const block = page.locator(`[id="${operation}"]`);
  await block.locator('.opblock-summary-control').click();
  await block.locator('.try-out__btn').click();
  if (body !== undefined) await block.locator('textarea.body-param__text').fill(JSON.stringify(body));
  await block.locator('.execute').click();
  const live = block.locator('.live-responses-table tbody .response');
  const status = await live.locator('.response-col_status').innerText();
  return [status.trim(), await live.locator('.highlight-code').first().innerText()];
}

test('the API docs render without an error and list every endpoint', async () => {
  const visitor = await newVisitor(browser);
  const page = await visitor.open(`${site.origin}/docs`);
  await page.locator('.opblock').first().waitFor();
  const listed = await page.locator('.opblock-summary').evaluateAll((rows) =>
    rows.map((row) => {
      const [verb, path] = ['.opblock-summary-method', '.opblock-summary-path'].map(
        (part) => row.querySelector(part)?.textContent ?? '',
      );
      return `${verb} ${path?.replaceAll('​', '')}`;
    }),
  );
  const described = Object.entries(site.app.document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((verb) => `${verb.toUpperCase()} ${path}`),
  );
  expect(listed.sort()).toEqual(described.sort());
  expect(visitor.errors).toEqual([]);
  expect(
    visitor.requests.filter(
      (request) => !request.url().startsWith(site.origin) && !request.url().startsWith('data:'),
    ),
  ).toEqual([]);
});

test('"Try it out" signs up, and then shows who is signed in', async () => {
  const visitor = await newVisitor(browser);
  const page = await visitor.open(`${site.origin}/docs`);
  const email = newEmail();
  // What is there to be edited is a body that would do.
  const block = page.locator('[id="operations-sign-in-post_auth_signup"]');
  await block.locator('.opblock-summary-control').click();
  expect(JSON.parse(await block.locator('.body-param__example').innerText())).toEqual({
    email: 'ada@example.com',
    name: 'Ada',
    password: 'correct horse battery',
  });
  await block.locator('.opblock-summary-control').click();
  const signup = { email, name: 'Ada Example', password: newPassword() };
  const [created, body] = await tryOut(page, 'operations-sign-in-post_auth_signup', signup);
  expect(created).toBe('201');
  expect(body).toContain(email);
  const [found, me] = await tryOut(page, 'operations-account-get_auth_me');
  expect(found).toBe('200');
  expect(me).toContain(email);
  expect(visitor.errors).toEqual([]);
});
