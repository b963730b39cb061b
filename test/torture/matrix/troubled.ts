/** A database of the store that is not the authority, whose store is in trouble from when it is told until it is closed. */
import type { StoreName } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';
import { createLagProxy } from '../../support/lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase, ownPostgres } from '../../support/stores.ts';
import { openFrozen } from './frozen.ts';
import { troubleOf } from './trouble.ts';

export interface Troubled {
  readonly url: string;
  /** Opens what uses this store while it answers; from then on it is in trouble. */
  begin<T>(open: () => Promise<T>, storeOf: (opened: T) => Store): Promise<T>;
  /** Runs while it answers. */
  undisturbed<T>(work: () => Promise<T>): Promise<T>;
  /** Ends the trouble, then closes what was opened. */
  end(close: () => Promise<void>): Promise<void>;
}

/** Where the service is told the URL of each. */
export const VARIABLES = { mongo: 'MONGO_URL', postgres: 'DATABASE_URL' } as const;

const SLOW_MS = 300;

/** `durable`: as production wants it. */
export async function openTroubled(name: StoreName, { durable = false } = {}): Promise<Troubled> {
  const trouble = troubleOf(process.env);
  if (trouble === 'frozen') return openFrozen(name);
  if (name === 'mongo') return openBehindProxy(newMongoDatabase(), trouble);
  return openBehindProxy(durable ? (await ownPostgres()).url : await newPostgresDatabase(), trouble);
}

async function openBehindProxy(direct: string, trouble: 'down' | 'slow'): Promise<Troubled> {
  const proxy = await createLagProxy({ targetPort: Number(new URL(direct).port) });
  const cause = (): void => (trouble === 'down' ? proxy.cut() : proxy.delay(SLOW_MS));
  return {
    url: proxy.through(direct),
    async begin(open) {
      const opened = await open();
      cause();
      return opened;
    },
    async undisturbed(work) {
      proxy.heal();
      try {
        return await work();
      } finally {
        cause();
      }
    },
    async end(close) {
      proxy.heal();
      await close();
      await proxy.close();
    },
  };
}
