import { randomBytes } from 'node:crypto';
import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { expect, it } from 'vitest';
import clock from '../../plugins/clock.ts';
import { loadConfig } from '../../plugins/config.ts';
import tokens from '../../plugins/tokens.ts';

/** What is logged while it starts with this secret of the old service. */
async function linesOfStart(secret: string | null, until = '2030-01-31'): Promise<string[]> {
  const legacy = secret === null ? {} : { LEGACY_JWT_SECRET: secret, LEGACY_JWT_UNTIL: until };
  const config = loadConfig(legacy, { production: false });
  const lines: string[] = [];
  const app = Fastify({
    logger: { level: 'info', stream: { write: (line: string) => void lines.push(line) } },
  });
  await app.register(fp(async (instance) => void instance.decorate('config', config), { name: 'config' }));
  await app.register(clock);
  await app.register(tokens);
  await app.ready();
  await app.close();
  return lines;
}

it.each(['hunter2', 'a'.repeat(64), 'change-me-please-change-me-please!'])(
  'warns once of a weak secret of the old service, without telling it: %s',
  async (secret) => {
    const lines = await linesOfStart(secret);
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 40, until: '2030-01-31T23:59:59.999Z' },
    ]);
    expect(lines[0]).toContain('LEGACY_JWT_SECRET is weak');
    expect(lines[0]).not.toContain(secret);
  },
);

it.each([
  ['a strong one', randomBytes(32).toString('base64url')],
  ['none', null],
])('says nothing of %s', async (_what, secret) => {
  expect(await linesOfStart(secret)).toEqual([]);
});

it('says of an exchange that has ended that it has, and nothing of its secret', async () => {
  const lines = await linesOfStart('hunter2', '2020-01-31');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 40, msg: expect.stringMatching(/^LEGACY_JWT_UNTIL has passed/) },
  ]);
});
