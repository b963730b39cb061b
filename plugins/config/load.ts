import { type AuthSecret, parseAuthSecrets } from '../keys/auth-secrets.ts';
import { type JwtKey, parseJwtKeys } from '../keys/jwt-keys.ts';
import { makeDevelopmentKeys } from './keys.ts';
import { problemsOf, problemsOfNode } from './rules.ts';
import { type Config, shapeConfig } from './shape.ts';
import { collect } from './sources.ts';
import { type Environment, environmentSchema, type VariableName } from './variables.ts';

/** The configuration cannot be used. One line per problem: the variable, what is wrong, what to do; no values. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`the configuration has ${problems.length} problem(s):\n${problems.join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads the environment (and files that `NAME_FILE` variables name) into a checked `Config`.
 * Outside production missing keys are made up. Throws `ConfigError` with all problems at once.
 */
export function loadConfig(env: NodeJS.ProcessEnv, options: { readonly production: boolean }): Config {
  const { production } = options;
  const sources = collect(env);
  const problems = new Map<string, string>();
  const note = (name: string, problem: string) => {
    if (!problems.has(name)) problems.set(name, `${name}: ${problem}`);
  };
  for (const line of sources.problems) note(line.replace(/(_FILE)?:.*/s, ''), line.replace(/^[^:]+: /, ''));

  const environment = parse(sources.texts, note);
  for (const [name, problem] of problemsOf(environment, production)) note(name, problem);
  const keys = readKeys(environment, note);

  const all = [...problems.values(), ...problemsOfNode(env, production)];
  if (all.length > 0) throw new ConfigError(all);
  return shapeConfig(environment, keys, production);
}

type Note = (name: VariableName, problem: string) => void;

/** Invalid variables are noted and then taken for unset, so that the rules still see all the others. */
function parse(texts: Readonly<Record<string, string>>, note: Note): Environment {
  const parsed = environmentSchema.safeParse(texts);
  if (parsed.success) return parsed.data;
  const valid = { ...texts };
  for (const issue of parsed.error.issues) {
    const name = String(issue.path[0]) as VariableName;
    note(name, issue.message);
    delete valid[name];
  }
  return environmentSchema.parse(valid);
}

function readKeys(env: Environment, note: Note): { authSecrets: AuthSecret[]; jwtKeys: JwtKey[] } {
  const madeUp = makeDevelopmentKeys();
  const read = <T>(name: 'AUTH_SECRETS' | 'JWT_KEYS', parseKeys: (text: string) => T[]): T[] => {
    try {
      return parseKeys(env[name] ?? madeUp[name]);
    } catch (error) {
      note(name, error instanceof Error ? error.message : 'cannot be read');
      return [];
    }
  };
  return { authSecrets: read('AUTH_SECRETS', parseAuthSecrets), jwtKeys: read('JWT_KEYS', parseJwtKeys) };
}
