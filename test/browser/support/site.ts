/** The service as a browser meets it: at the address its links and cookies are made for, mails in its own inbox. */
import { type Mode, startApp, type TestApp } from '../../support/app.ts';
import { type Scheme, startFront } from './front.ts';

export interface Site {
  /** What users type: PUBLIC_URL and APP_URL. */
  readonly origin: string;
  readonly app: TestApp;
}

/** Starts it in development, on a database of its own; closed after the file. */
export async function startSite(
  mode: Mode,
  scheme: Scheme,
  env: Readonly<Record<string, string>> = {},
): Promise<Site> {
  const front = await startFront(scheme);
  const addresses = { PUBLIC_URL: front.origin, APP_URL: front.origin };
  const app = await startApp(mode, { env: { ...addresses, SMTP_URL: '', ...env } });
  front.forwardTo(app.url);
  return { origin: front.origin, app };
}
