import { describe, expect, inject, it, onTestFinished } from 'vitest';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import { asSuperuser } from '../support/databases.ts';
import { newPostgresDatabase, TIMEOUT_MS } from '../support/stores.ts';

const HISTORY = /^\d{10,}\/[0-9A-F]{8}$/;

async function open(url: string): Promise<Store> {
  const store = await openPostgresStore({ url, timeoutMs: TIMEOUT_MS });
  onTestFinished(() => store.close());
  return store;
}

describe('the history that PostgreSQL goes on', () => {
  it.each(inject('postgresServers'))(
    '$server: is asked for by what the user may, or not at all',
    async (target) => {
      const url = await newPostgresDatabase(target, onTestFinished);
      const plain = `${url}?options=${encodeURIComponent('-c role=pg_monitor')}`;
      const known = await (await open(url)).history();
      const asked = await open(plain);
      expect(known).toMatch(HISTORY);
      expect(await asked.history()).toBe(known);

      await asSuperuser(url, 'revoke execute on function pg_walfile_name(pg_lsn) from public');
      // Taken away later, or not granted at all.
      expect(await asked.history()).toBe(known);
      expect(await (await open(plain)).history()).toBe(known);

      await asSuperuser(url, 'revoke execute on function pg_control_system() from public');
      expect(await asked.history()).toBeNull();
      expect(await (await open(plain)).history()).toBeNull();
    },
  );

  it('is not known of a server that does not answer', async () => {
    const store = await open('postgres://nobody@127.0.0.1:1/nothing');
    await expect(store.history()).rejects.toMatchObject({ name: 'StoreUnavailable', reason: 'connect' });
  });
});
