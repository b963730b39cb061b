/** A database of the store that is not the authority, whose store is in trouble from when it is told until it is closed. */
import type { StoreName } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';
import { createLagProxy } from '../../support/lag-proxy.ts';
import { newMongoDatabase, newPostgresDatabase } from '../../support/stores.ts';
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

const SLOW_MS = 300;

export function openTroubled(name: StoreName): Promise<Troubled> {
  const trouble = troubleOf(process.env);
  return trouble === 'frozen' ? openFrozen(name) : openBehindProxy(name, trouble);
}

async function openBehindProxy(name: StoreName, trouble: 'down' | 'slow'): Promise<Troubled> {
  const direct = name === 'mongo' ? newMongoDatabase() : await newPostgresDatabase();
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
