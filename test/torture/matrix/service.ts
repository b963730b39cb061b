/** Stands in for `support/service.ts`: processes of the service whose other store is in trouble as soon as they listen. */
import { afterAll } from 'vitest';
import { otherStore } from '../../../cutover/mode.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';
import { type Mode, STORES } from '../../support/app.ts';
import * as usual from '../../support/service.ts';
import { newMongoDatabase, ownPostgres, TIMEOUT_MS } from '../../support/stores.ts';
import { known, knownIn } from './known.ts';
import { openTroubled, VARIABLES } from './troubled.ts';

export * from '../../support/service.ts';

export async function durableStoreEnv(mode: Mode): Promise<Record<string, string>> {
  const { authority } = STORES[mode];
  const name = otherStore(authority);
  const troubled = await openTroubled(name, { durable: true });
  const { url } = troubled;
  // Nothing is connected before it is used, which behind a proxy it never is.
  const open = name === 'mongo' ? openMongoStore : openPostgresStore;
  const probe = await open({ url, timeoutMs: TIMEOUT_MS });
  known.set(url, { troubled, probe });
  afterAll(() =>
    troubled.end(async () => {
      known.delete(url);
      await probe.close();
    }),
  );
  const own = authority === 'mongo' ? newMongoDatabase() : (await ownPostgres()).url;
  return { BACKEND_MODE: mode, [VARIABLES[authority]]: own, [VARIABLES[name]]: url };
}

/** The pool of another process can be neither filled nor asked: the one of a store of ours hangs for it. */
export async function startService(env: Readonly<Record<string, string>>): Promise<usual.Service> {
  const given = knownIn(env);
  if (given === undefined) throw new Error('the service was not given a store that can be in trouble');
  return given.troubled.begin(
    () => usual.startService(env),
    () => given.probe,
  );
}
