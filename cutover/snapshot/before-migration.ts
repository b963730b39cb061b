/**
 * A schema change of a store that holds users waits for a word: a snapshot first, or none. A new, empty store needs
 * none. An instance that starts gives no such word: in production it changes no table under users.
 */
import type { Codec } from '../../db/canonical.ts';
import type { Store } from '../../db/port.ts';
import { systemEnvironment } from '../environment.ts';
import { attempt } from '../operator/situation.ts';
import { SILENT } from '../telemetry.ts';

const MIGRATION_WORDS = ['--snapshot', '--no-snapshot'] as const;
export type MigrationWord = (typeof MIGRATION_WORDS)[number];

/** Whether a migration of this store would change what users depend on. A store that does not answer is not known to be one. */
export async function isLiveAndBehind(store: Store): Promise<boolean> {
  if ((await attempt(() => store.isMigrated())) !== false) return false;
  // A store without tables holds nobody.
  if ((await attempt(() => store.replica.holdsUsers())) !== true) return false;
  // Another may have migrated it, and the first user come, in between.
  return (await attempt(() => store.isMigrated())) === false;
}

export interface BeforeMigration {
  readonly stores: readonly Store[];
  readonly urls: { readonly mongo: string | null; readonly postgres: string | null };
  /** Of the MongoDB. */
  readonly codec: Codec;
  /** Null: none was given. */
  readonly word: MigrationWord | null;
  /** Asks on a terminal; null: there is none. */
  readonly ask: ((question: string) => Promise<string>) | null;
  readonly env: NodeJS.ProcessEnv;
  readonly dir: string;
  readonly tell: (line: string) => void;
}

/** False: nothing may be migrated, and `tell` has said why. Throws when the snapshot that was wanted failed. */
export async function beforeMigration(options: BeforeMigration): Promise<boolean> {
  const { stores, ask, tell } = options;
  const live: string[] = [];
  for (const store of stores) if (await isLiveAndBehind(store)) live.push(store.name);
  if (live.length === 0) return true;
  let { word } = options;
  if (word === null && ask !== null) {
    const answer = await ask(
      `${live.join(' and ')}: users are there, and the schema is to be changed. Take a snapshot first? [yes/no/stop] `,
    );
    const words: Readonly<Record<string, MigrationWord>> = { yes: '--snapshot', no: '--no-snapshot' };
    word = words[answer.trim().toLowerCase()] ?? null;
  }
  if (word === null) {
    tell(
      `refused: ${live.join(' and ')} holds users and its schema is behind; say --snapshot to take one first, or ` +
        '--no-snapshot: npm run migrate -- --snapshot',
    );
    return false;
  }
  if (word === '--snapshot') await takeSnapshot(options);
  return true;
}

async function takeSnapshot({ stores, urls, codec, env, dir, tell }: BeforeMigration): Promise<void> {
  const { createSnapshot } = await import('./create.ts');
  const named = (name: Store['name']) => stores.find((store) => store.name === name) ?? null;
  const context = {
    stores: { mongo: named('mongo'), postgres: named('postgres') },
    environment: systemEnvironment(),
    telemetry: SILENT,
    report: () => {},
    urls,
    codec,
    env,
  };
  const { name, path } = await createSnapshot(context, { dir });
  tell(`snapshot ${name}: ${path}`);
}
