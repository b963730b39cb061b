/** What each store does about a server's certificate. */
import { expect, onTestFinished, test } from 'vitest';
import type { Store } from '../../db/port.ts';
import { startTlsServer } from './tls.ts';
import { eventually } from './wait.ts';

const UNAVAILABLE = { name: 'StoreUnavailable', outcome: 'none', reason: 'connect' };

export interface TlsClient {
  /** Begins TLS only after a word in clear. */
  readonly greets: boolean;
  /** `authorityFile`: of the authority it is to know. */
  readonly open: (port: number, authorityFile: string | null) => Promise<Store>;
  /** In what it tells a server that it takes for the right one. */
  readonly told: string;
  /** How asking that server ends, which never answers. */
  readonly unanswered: Partial<typeof UNAVAILABLE>;
}

export function tlsCases({ greets, open, told, unanswered }: TlsClient): void {
  /** Of a server at `localhost`, whose certificate is for `host`. */
  async function clientOf(host: string, options: { readonly authorityKnown: boolean }) {
    const server = await startTlsServer(host, { greets });
    const store = await open(server.port, options.authorityKnown ? server.authorityFile : null);
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
      await expect(ask()).rejects.toMatchObject(UNAVAILABLE);
      expect(server.begun()).toBeGreaterThan(0);
    });
    expect(server.told()).toHaveLength(0);
  });

  test('one with the right certificate is told who asks', async () => {
    const { server, ask } = await clientOf('localhost', { authorityKnown: true });
    await eventually(async () => {
      await expect(ask()).rejects.toMatchObject(unanswered);
      expect(server.told().toString()).toContain(told);
    });
  });
}
