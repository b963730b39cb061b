import { expect, test } from 'vitest';
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
