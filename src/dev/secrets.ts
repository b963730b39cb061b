import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { makeDevelopmentKeys } from '../../plugins/config/keys.ts';

type Secrets = ReturnType<typeof makeDevelopmentKeys>;

/** Keys that stay the same between runs, so that sessions do; readable by their owner alone. Null keeps none. */
export function developmentSecrets(file: string | null): Secrets {
  if (file === null) return makeDevelopmentKeys();
  if (!existsSync(file))
    writeFileSync(file, JSON.stringify(makeDevelopmentKeys()), { mode: 0o600, flag: 'wx' });
  return JSON.parse(readFileSync(file, 'utf8'));
}
