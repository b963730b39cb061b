/** Chromium, and what its pages say and ask for. */
import { type Browser, type BrowserContext, chromium, type Page, type Request } from 'playwright-core';
import { afterAll, onTestFinished } from 'vitest';

const ARGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts it with a profile of its own; closed after the file. Debian's, unless CHROMIUM_PATH names another one. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ARGS });
  afterAll(() => browser.close());
  return browser;
}

export interface Visitor {
  readonly context: BrowserContext;
  /** All requests of all tabs so far. */
  readonly requests: readonly Request[];
  /** Errors on the console (refused by a content security policy, too) and in scripts. */
  readonly errors: readonly string[];
  /** Leaves out one error that names this status, which the test provoked: what the console says of an answer may come later. */
  forget(status: string): void;
  /** A new tab at this address. */
  open(url: string): Promise<Page>;
}

/** Somebody with an empty cookie jar; gone after the test. */
export async function newVisitor(browser: Browser): Promise<Visitor> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  onTestFinished(() => context.close());
  const requests: Request[] = [];
  const errors: string[] = [];
  const provoked: string[] = [];
  context.on('request', (request) => void requests.push(request));
  context.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  context.on('weberror', (error) => void errors.push(String(error.error())));
  return {
    context,
    requests,
    get errors() {
      const left = [...errors];
      for (const status of provoked) {
        const at = left.findIndex((error) => error.includes(`status of ${status}`));
        if (at >= 0) left.splice(at, 1);
      }
      return left;
    },
    forget(status) {
      provoked.push(status);
    },
    async open(url) {
      const page = await context.newPage();
      await page.goto(url);
      return page;
    },
  };
}

export interface Seen {
  readonly status: number;
  readonly body: {
    readonly code?: string;
    readonly user?: { readonly email: string; readonly isVerified: boolean };
  };
}

/** What a script of this page gets when it calls the service; the browser adds its cookies. */
export function call(page: Page, method: string, path: string, json?: unknown): Promise<Seen> {
  return page.evaluate(
    async ([verb, url, body]) => {
      const answer = await fetch(url, {
        method: verb,
        ...(body !== null && { headers: { 'Content-Type': 'application/json' }, body }),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === '' ? {} : JSON.parse(text) };
    },
    [method, path, json === undefined ? null : JSON.stringify(json)] as const,
  );
}
