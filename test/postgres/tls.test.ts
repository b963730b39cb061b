import { expect, onTestFinished, test } from 'vitest';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { startTlsServer } from '../support/tls.ts';
import { eventually } from '../support/wait.ts';

const unavailable = { name: 'StoreUnavailable', outcome: 'none', reason: 'connect' };

/** Of a server at `localhost`, whose certificate is for `host`. */
async function clientOf(host: string, options: { readonly authorityKnown: boolean }) {
  const server = await startTlsServer(host, { greets: true });
  const known = options.authorityKnown ? `&sslrootcert=${server.authorityFile}` : '';
  const store = await openPostgresStore({
    url: `postgres://auth:hunter2@localhost:${server.port}/auth?sslmode=verify-full${known}`,
    poolMax: 1,
    timeoutMs: 300,
  });
  onTestFinished(() => store.close());
  return { server, ask: () => store.ping() };
}

test.each([
  ['of an authority nobody knows', 'localhost', false],
  ['of another host', 'db.example.test', true],
])('a server with a certificate %s is told nothing', async (_, host, authorityKnown) => {
  const { server, ask } = await clientOf(host, { authorityKnown });
  // On a busy machine its time may be over before it has begun.
  await eventually(async () => {
    await expect(ask()).rejects.toMatchObject(unavailable);
    expect(server.begun()).toBeGreaterThan(0);
  });
  expect(server.told()).toHaveLength(0);
});

test('one with the right certificate is told who asks', async () => {
  const { server, ask } = await clientOf('localhost', { authorityKnown: true });
  await eventually(async () => {
    await expect(ask()).rejects.toMatchObject({ name: 'StoreUnavailable' });
    expect(server.told().toString()).toContain('auth');
  });
});
