import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readRestoreUrl } from '../../plugins/config/restore-url.ts';
import { loadStoresConfig } from '../../plugins/config/stores.ts';

test('the command line and migrate do not go without verified certificates in production', () => {
  const url = 'postgres://auth@db.example:5432/auth?sslmode=verify-full';
  const env = { DATABASE_URL: url, NODE_TLS_REJECT_UNAUTHORIZED: '0' };
  expect(() => loadStoresConfig({ ...env, NODE_ENV: 'production' })).toThrow(
    /^NODE_TLS_REJECT_UNAUTHORIZED: /m,
  );
  expect(loadStoresConfig(env).databaseUrl).toBe(url);
  const verified = { NODE_ENV: 'production', NODE_TLS_REJECT_UNAUTHORIZED: '1' };
  expect(loadStoresConfig({ ...env, ...verified })).toEqual(loadStoresConfig(env));
});

const VERIFIED = 'postgres://auth:planted@db.example/auth?sslmode=verify-full';

test.each([
  ['postgres', 'postgres://auth:planted@db.example/auth', /leads to another host .* or add postgres to/],
  ['mongo', 'mongodb://auth:planted@db.example/auth', /leads to another host .* or add mongo to/],
  ['mongo', 'mongodb://auth:planted@db.example/auth?tls=true&w=0', /leave out w/],
  ['mongo', 'mongodb://auth:planted@db.example/auth?tls=maybe', /cannot be read by its driver/],
  ['postgres', 'postgres://auth:planted@db.example/?sslmode=verify-full', /names no database/],
  ['postgres', 'mongodb://auth:planted@127.0.0.1/auth', /begins with postgres:/],
] as const)('production does not restore into %s by %s', (into, url, problem) => {
  const env = { NODE_ENV: 'production', RESTORE_URL: url };
  const byVariable = () => readRestoreUrl(env, into, null);
  expect(byVariable).toThrow(problem);
  expect(byVariable).toThrow(/^RESTORE_URL: /);
  expect(byVariable).not.toThrow(/planted/);
  expect(() => readRestoreUrl({ NODE_ENV: 'production' }, into, url)).toThrow(problem);
});

test('a URL to restore into is the given one, or that of the environment, or in the file that this names', () => {
  const folder = mkdtempSync(join(tmpdir(), 'restore-url-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const RESTORE_URL_FILE = join(folder, 'url');
  writeFileSync(RESTORE_URL_FILE, `${VERIFIED}\n`);
  const production = { NODE_ENV: 'production' };
  expect(readRestoreUrl({ ...production, RESTORE_URL_FILE }, 'postgres', null)).toBe(VERIFIED);
  expect(readRestoreUrl({ ...production, RESTORE_URL: VERIFIED }, 'postgres', null)).toBe(VERIFIED);
  expect(readRestoreUrl({ ...production, RESTORE_URL: 'postgres://x' }, 'postgres', VERIFIED)).toBe(VERIFIED);
  expect(readRestoreUrl({}, 'postgres', null)).toBeNull();
  const plain = 'postgres://auth@db.example/auth';
  expect(readRestoreUrl({ ...production, ALLOW_UNENCRYPTED: 'postgres' }, 'postgres', plain)).toBe(plain);
  expect(readRestoreUrl({}, 'postgres', plain)).toBe(plain);
  const unread = () => readRestoreUrl({ RESTORE_URL_FILE: join(folder, 'none') }, 'postgres', null);
  expect(unread).toThrow(/^RESTORE_URL_FILE: cannot be read \(ENOENT\)/);
});
