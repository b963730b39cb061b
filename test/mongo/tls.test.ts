import { expect, onTestFinished, test } from 'vitest';
import { openMongoStore } from '../../db/mongo/store.ts';
import { startTlsServer } from '../support/tls.ts';
import { eventually } from '../support/wait.ts';

const unavailable = { name: 'StoreUnavailable', outcome: 'none', reason: 'connect' };

/** Of a server at `localhost`, whose certificate is for `host`. */
async function clientOf(host: string, options: { readonly authorityKnown: boolean }) {
  const server = await startTlsServer(host, { greets: false });
  const known = options.authorityKnown ? `&tlsCAFile=${server.authorityFile}` : '';
  const store = await openMongoStore({
    url: `mongodb://localhost:${server.port}/auth?tls=true${known}`,
    timeoutMs: 300,
    emailKeyPass: false,
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

test('one with the right certificate is asked', async () => {
  const { server, ask } = await clientOf('localhost', { authorityKnown: true });
  await eventually(async () => {
    await expect(ask()).rejects.toMatchObject(unavailable);
    expect(server.told().toString()).toContain('hello');
  });
});
