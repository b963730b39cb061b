import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** Tests in a real browser: not part of `npm test`, since a fresh machine has no Chromium. */
export default defineConfig({
  test: { ...base.test, include: ['test/browser/**/*.browser.ts'], maxWorkers: 1, testTimeout: 60_000 },
});
