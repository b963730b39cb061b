/** The contract and HTTP suites as they are, over a service whose other store is in trouble. */
import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vitest/config';
import usual from '../../../vitest.config.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const httpSuite = fileURLToPath(new URL('../../http/', import.meta.url));

/** What stands in for what, exactly as the HTTP suite writes it: whatever else imports the original is to have that. */
const STAND_INS: Readonly<Record<string, string>> = {
  '../support/app.ts': fileURLToPath(new URL('./app.ts', import.meta.url)),
  '../support/service.ts': fileURLToPath(new URL('./service.ts', import.meta.url)),
};

/** What this is about is an authority that is down, with no other store. */
const OWN_TROUBLE = 'test/http/outage.test.ts';

const merged = mergeConfig(
  usual,
  defineConfig({
    root,
    plugins: [
      {
        name: 'the other store is in trouble',
        enforce: 'pre',
        resolveId: (source, importer) =>
          importer?.startsWith(httpSuite) === true ? (STAND_INS[source] ?? null) : null,
      },
    ],
    test: {
      globalSetup: ['test/torture/matrix/servers.ts'],
      testTimeout: 120_000,
      hookTimeout: 180_000,
    },
  }),
);

export default {
  ...merged,
  test: {
    ...merged.test,
    include: ['test/torture/matrix/*.matrix.ts', 'test/http/*.test.ts'],
    exclude: [OWN_TROUBLE, 'node_modules/**'],
  },
};
