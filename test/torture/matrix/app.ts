/** Stands in for `support/app.ts`: the same service, whose other store is in trouble as soon as the service runs. */
import { afterAll, describe } from 'vitest';
import { otherStore } from '../../../cutover/mode.ts';
import * as usual from '../../support/app.ts';
import { newMongoDatabase, newPostgresDatabase } from '../../support/stores.ts';
import { knownIn } from './known.ts';
import { troubleOf } from './trouble.ts';
import { openTroubled, VARIABLES } from './troubled.ts';

export * from '../../support/app.ts';

/** Names the trouble, so that a report shows that it was there. */
export function inEveryMode(define: (mode: usual.Mode) => Promise<void>): void {
  describe.each(usual.HTTP_MODES)(`%s, the other store ${troubleOf(process.env)}`, define);
}

export async function startApp(mode: usual.Mode, settings: usual.AppSettings = {}): Promise<usual.TestApp> {
  const { env = {}, onEnd = afterAll } = settings;
  // Another instance shares its neighbour's trouble.
  if (settings.beside !== undefined) return usual.startApp(mode, settings);
  if ('MONGO_URL' in env || 'DATABASE_URL' in env) {
    // So does one beside a process; a test that brings stores of its own has trouble of its own.
    const given = knownIn(env);
    if (given === undefined) return usual.startApp(mode, settings);
    return usual.startApp(mode, {
      ...settings,
      onEnd: (close) => onEnd(() => given.troubled.undisturbed(close)),
    });
  }
  const { authority } = usual.STORES[mode];
  const name = otherStore(authority);
  const own = authority === 'mongo' ? newMongoDatabase() : await newPostgresDatabase();
  const troubled = await openTroubled(name);
  const started = await troubled.begin(
    () =>
      usual.startApp(mode, {
        ...settings,
        env: { [VARIABLES[authority]]: own, [VARIABLES[name]]: troubled.url, ...env },
        onEnd: (close) => onEnd(() => troubled.end(close)),
      }),
    ({ app }) => {
      const other = app.stores.find((store) => store.name === name);
      if (other === undefined) throw new Error('the service was not given its other store');
      return other;
    },
  );
  return { ...started, undisturbed: troubled.undisturbed };
}
