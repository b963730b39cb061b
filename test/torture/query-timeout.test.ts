/** TC08: a query of Kysely's times out: logged, and answered from elsewhere where that cannot undo anything. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signal } from '../../db/embedded/processes.ts';
import { eventually } from '../support/wait.ts';
import { readBoth } from './final/rest.ts';
import { openServers, openSystem, type Servers, type System } from './system/system.ts';

const PATIENT_MS = 120_000;
const ENV = { STORE_TIMEOUT: '1s' };

let servers: Servers;
beforeAll(async () => {
  servers = await openServers();
}, PATIENT_MS);
const opened: System[] = [];
afterAll(async () => {
  for (const system of opened) await system.close(false);
  await servers.close();
});

async function open(firstMode: 'shadow-read' | 'postgres-primary', env = ENV): Promise<System> {
  const database = `timeouts_${firstMode.replaceAll('-', '_')}`;
  const system = await openSystem({ servers, database, instances: 1, firstMode, env });
  opened.push(system);
  return system;
}

/** Stops the backends that serve the instance's pool as it is now: their queries hang, new connections work. */
async function stopBackends({ stores }: System): Promise<() => void> {
  const client = new pg.Client({ connectionString: stores.postgres.url });
  await client.connect();
  const sql = `select pid from pg_stat_activity where application_name = 'auth' and datname = current_database()`;
  const { rows } = await client.query<{ pid: number }>(sql);
  await client.end();
  expect(rows.length).toBeGreaterThan(0);
  for (const { pid } of rows) signal(pid, 'SIGSTOP');
  return () => {
    for (const { pid } of rows) signal(pid, 'SIGCONT');
  };
}

interface Account {
  readonly email: string;
  readonly token: string;
}

let people = 0;

async function signUp(url: string): Promise<Account> {
  people += 1;
  const email = `person-${people}@example.test`;
  const body = JSON.stringify({ email, name: 'Ada Example', password: 'pass phrase of this test' });
  const headers = { 'content-type': 'application/json', 'x-token-transport': 'body' };
  const answer = await fetch(`${url}/auth/signup`, { method: 'POST', headers, body });
  expect(answer.status).toBe(201);
  return { email, token: ((await answer.json()) as { accessToken: string }).accessToken };
}

/** With time-outs so short a busy machine may need another try. */
const signedUp = (url: string): Promise<Account> => eventually(() => signUp(url), { timeoutMs: 30_000 });

const me = (url: string, token: string): Promise<Response> =>
  fetch(`${url}/auth/me`, { headers: { authorization: `Bearer ${token}` } });

/** A query on the backends that stand; on a connection that was made meanwhile there is another try. */
const AGAIN = { timeoutMs: 60_000, intervalMs: 500 } as const;

const nothingPending = (system: System): Promise<boolean> =>
  eventually(async () => (await readBoth(system)).postgres.marked === 0, { timeoutMs: 30_000 });

describe('in postgres-primary', () => {
  let system: System;
  let url: string;
  beforeAll(async () => {
    system = await open('postgres-primary');
    url = system.places[0]?.url ?? '';
  }, PATIENT_MS);
  const log = (): string => system.places[0]?.current()?.log() ?? '';

  test(
    'with nothing pending MongoDB answers the read, and the log says so',
    async () => {
      const { email, token } = await signedUp(url);
      await nothingPending(system);
      // PostgreSQL must say within a quarter of a second that nothing is pending: a busy machine may need another try.
      await eventually(async () => {
        const goOn = await stopBackends(system);
        const answer = await me(url, token).finally(goOn);
        expect(answer.status).toBe(200);
        expect(await answer.json()).toMatchObject({ user: { email } });
        expect(log()).toContain('PostgreSQL failed a read; MongoDB answered it');
      }, AGAIN);
      const metrics = await (await fetch(`${url}/metrics`)).text();
      expect(metrics).toMatch(/cutover_fallbacks_total\{[^}]*outcome="answered"[^}]*\} [1-9]/);
      await eventually(async () => expect((await me(url, token)).status).toBe(200), { timeoutMs: 30_000 });
    },
    PATIENT_MS,
  );

  test(
    'with something pending it does not: 503 with Retry-After',
    async () => {
      const toMongo = system.proxy('a', 'mongo');
      const logged = log().length;
      toMongo.freeze();
      const { token } = await signedUp(url).catch((error: unknown) => {
        toMongo.heal();
        throw error;
      });
      try {
        await eventually(async () => {
          const goOn = await stopBackends(system);
          const answer = await me(url, token).finally(goOn);
          expect(answer.status).toBe(503);
          expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
        }, AGAIN);
      } finally {
        toMongo.heal();
      }
      await eventually(() => expect(log()).toMatch(/"outcome":"refused".*PostgreSQL failed a read"/));
      expect(log().slice(logged)).not.toMatch(/"operation":"findSession".*MongoDB answered it/);
      await eventually(async () => expect((await me(url, token)).status).toBe(200), { timeoutMs: 30_000 });
      await nothingPending(system);
    },
    PATIENT_MS,
  );
});

test(
  'in shadow-read nobody notices, and the log says so',
  async () => {
    // Long enough for MongoDB on a busy machine, whose answers are what nobody must notice anything of.
    const system = await open('shadow-read', { STORE_TIMEOUT: '2s' });
    const [place] = system.places;
    if (place === undefined) throw new Error('no instance');
    const { token } = await signUp(place.url);
    await nothingPending(system);
    const goOn = await stopBackends(system);
    try {
      // A comparison on a connection that was made meanwhile does not fail: some later one does.
      const statuses: number[] = [];
      await eventually(async () => {
        statuses.push((await me(place.url, token)).status);
        expect(place.current()?.log()).toContain('a comparison failed');
      }, AGAIN);
      statuses.push((await me(place.url, token)).status);
      expect([...new Set(statuses)]).toEqual([200]);
      await signUp(place.url);
    } finally {
      goOn();
    }
  },
  PATIENT_MS,
);
