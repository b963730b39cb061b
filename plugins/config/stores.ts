/** The part of the configuration that says where the stores are, for programs that need nothing else of it. */
import { type Codec, DEFAULT_CODEC } from '../../db/canonical.ts';
import { ConfigError } from './load.ts';
import { MODES, type Mode } from './modes.ts';
import { problemsOf, problemsOfNode } from './rules.ts';
import { collect } from './sources.ts';
import { environmentSchema, type VariableName } from './variables.ts';

const NAMES = [
  'NODE_ENV',
  'BACKEND_MODE',
  'MONGO_URL',
  'MONGO_MAPPING_FILE',
  'DATABASE_URL',
  'STORE_TIMEOUT',
  'RETENTION',
  'ALLOW_UNENCRYPTED',
] as const;

export { ConfigError };

type Name = (typeof NAMES)[number];

const isOurs = (name: string): name is Name => NAMES.some((each) => each === name);

export interface StoresConfig {
  readonly mongoUrl: string | null;
  readonly mongoCodec: Codec;
  readonly databaseUrl: string | null;
  readonly storeTimeoutMs: number;
  /** How long expired records are kept. */
  readonly retentionMs: number;
  /** `BACKEND_MODE`; null when it is not set. */
  readonly configuredMode: Mode | null;
}

/** Variables of the rest of the service are not looked at. Throws `ConfigError` with all problems at once. */
export function loadStoresConfig(env: NodeJS.ProcessEnv): StoresConfig {
  const sources = collect(env);
  const texts = Object.fromEntries(Object.entries(sources.texts).filter(([name]) => isOurs(name)));
  const unread = sources.problems.filter((line) => isOurs(line.replace(/(_FILE)?:.*/s, '')));
  const parsed = environmentSchema.safeParse(texts);
  const invalid = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`);
  if (!parsed.success || unread.length > 0) throw new ConfigError([...unread, ...invalid]);

  const { data } = parsed;
  if (data.MONGO_URL === null && data.DATABASE_URL === null) {
    throw new ConfigError([
      'MONGO_URL, DATABASE_URL: both are missing; set those of the stores that the system has',
    ]);
  }
  const production = data.NODE_ENV === 'production';
  // Only of what is set: an operator need not have all that the service needs.
  const rules = problemsOf(data, production)
    .filter(
      ([name]: readonly [VariableName, string]) =>
        (name === 'MONGO_URL' || name === 'DATABASE_URL') && data[name] !== null,
    )
    .map(([name, problem]) => `${name}: ${problem}`);
  const problems = [...rules, ...problemsOfNode(env, production)];
  if (problems.length > 0) throw new ConfigError(problems);

  return {
    mongoUrl: data.MONGO_URL,
    mongoCodec: data.MONGO_MAPPING_FILE ?? DEFAULT_CODEC,
    databaseUrl: data.DATABASE_URL,
    storeTimeoutMs: data.STORE_TIMEOUT,
    retentionMs: data.RETENTION,
    configuredMode: MODES.find((mode) => mode === texts['BACKEND_MODE']) ?? null,
  };
}
