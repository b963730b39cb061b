import { createHash } from 'node:crypto';
import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { expect, it } from 'vitest';
import keys from '../../plugins/keys.ts';
import passwords from '../../plugins/passwords.ts';

const secretOf = (version: string) => ({ version, secret: createHash('sha256').update(version).digest() });

function build(config: Record<string, unknown> = {}) {
  const lines: string[] = [];
  const app = Fastify({
    logger: { level: 'info', stream: { write: (line: string) => void lines.push(line) } },
  });
  const defaults = {
    authSecrets: [secretOf('v1')],
    bcryptCost: 4,
    hashThreads: 1,
    hashQueueMax: 10,
    passwordBlocklist: false,
  };
  app.register(
    fp(async (instance) => void instance.decorate('config', { ...defaults, ...config } as never), {
      name: 'config',
    }),
  );
  app.register(keys);
  app.register(passwords);
  return { app, lines };
}
const context = { name: 'A', email: 'a@example.org', serviceName: 'S' };
const long = 'é'.repeat(40);

it('hashes with the keys of the configuration, and goes on verifying after they rotate', async () => {
  const before = build().app;
  const after = build({ authSecrets: [secretOf('v2'), secretOf('v1')] }).app;
  await Promise.all([before.ready(), after.ready()]);
  const hash = await before.passwords.hash(long);
  expect(hash).toMatch(/^\{sha384:v1\}/);
  expect(await after.passwords.verify(long, hash)).toBe(true);
  expect(after.passwords.needsUpgrade(hash, long)).toBe(true);
  expect(await after.passwords.hash(long)).toMatch(/^\{sha384:v2\}/);
  await Promise.all([before.close(), after.close()]);
});

it('logs that a hash is unusable, and not the hash', async () => {
  const { app, lines } = build();
  await app.ready();
  expect(await app.passwords.verify('any', '{sha384:v9}$2b$04$'.padEnd(71, 'a'))).toBe(false);
  await app.close();
  expect(lines.join('')).toContain('"reason":"unknown-key"');
  expect(lines.join('')).not.toContain('$2b$');
});

it('refuses common passwords only when that is switched on', async () => {
  const off = build().app;
  const on = build({ passwordBlocklist: true }).app;
  await Promise.all([off.ready(), on.ready()]);
  expect(off.checkPassword('password', context)).toBeNull();
  expect(on.checkPassword('password', context)).toBe('common');
  await Promise.all([off.close(), on.close()]);
});

it('ends its threads with the app', async () => {
  const { app } = build();
  await app.ready();
  const hash = app.passwords.hash('a');
  await app.close();
  await expect(hash).resolves.toMatch(/^\$2b\$/);
  await expect(app.passwords.hash('a')).rejects.toThrow('full');
});
