/** The URL of a database that a snapshot is to be restored into: no part of the configuration, but held to its rules. */
import { ConfigurationProblem } from '../../cutover/cli/failures.ts';
import { read } from './sources.ts';
import { ConfigError, loadStoresConfig } from './stores.ts';

const VARIABLES = { mongo: 'MONGO_URL', postgres: 'DATABASE_URL' } as const;

/**
 * The one that was given, otherwise `RESTORE_URL` or what is in the file that `RESTORE_URL_FILE` names; null: none of them.
 * Throws `ConfigurationProblem` for one that would be refused as the store's own variable.
 */
export function readRestoreUrl(
  env: NodeJS.ProcessEnv,
  into: keyof typeof VARIABLES,
  given: string | null,
): string | null {
  const found = given === null ? read(env, { name: 'RESTORE_URL', secret: true }) : { text: given };
  if ('problem' in found) throw new ConfigurationProblem([found.problem]);
  const { text: url } = found;
  if (url === '') return null;
  const name = VARIABLES[into];
  const { NODE_ENV, ALLOW_UNENCRYPTED } = env;
  try {
    loadStoresConfig({ NODE_ENV, ALLOW_UNENCRYPTED, [name]: url });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const called = given === null ? 'RESTORE_URL' : 'the URL after NAME';
    throw new ConfigurationProblem(error.problems.map((problem) => problem.replace(name, called)));
  }
  return url;
}
