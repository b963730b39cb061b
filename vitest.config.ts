import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';

/** Where the results also go as JSON, for `.ci/run` to count. */
const reportFile = process.env['TEST_REPORT_FILE'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/bench/**', 'node_modules/**'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: reportFile ? ['default', ['json', { outputFile: reportFile }]] : ['default'],
    // The services and command lines that tests start, some hundred, find each other's compiled code.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compile', import.meta.url)) },
    pool: 'forks',
    // Files keep no state in modules, and loading the service anew for each would take half of the run.
    isolate: false,
    // Both cores also serve the databases; more workers only make time-outs likelier.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // Room for two waits, so that it is the failed one that is told.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    // A test that may be skipped or focused by mistake must not pass for a green run.
    allowOnly: false,
  },
});
