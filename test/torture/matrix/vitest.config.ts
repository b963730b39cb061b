/** The contract and HTTP suites as they are, over a service whose other store is in trouble. */
import { fileURLToPath } from 'node:url';
import { defineConfig, mergeConfig } from 'vitest/config';
import usual from '../../../vitest.config.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const app = fileURLToPath(new URL('./app.ts', import.meta.url));
const httpSuite = fileURLToPath(new URL('../../http/', import.meta.url));

/** What these are about is a store that is down, or a process of its own: they bring the trouble themselves. */
const OWN_TROUBLE = ['test/http/outage.test.ts', 'test/http/shutdown.test.ts', 'test/http/timing.test.ts'];

const merged = mergeConfig(
  usual,
  defineConfig({
    root,
    plugins: [
      {
        name: 'the other store is in trouble',
        enforce: 'pre',
        // Exactly as the HTTP suite writes it: what else imports the original, `app.ts` among it, is to have that.
        resolveId: (source, importer) =>
          source === '../support/app.ts' && importer?.startsWith(httpSuite) === true ? app : null,
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
    exclude: [...OWN_TROUBLE, 'node_modules/**'],
  },
};
