/**
 * `npm run migrate`: brings the schema of each store that is configured up to date. It reads the stores' part of the
 * configuration. A store that holds users is changed only after a word: `--snapshot` takes a snapshot first (into
 * `--dir DIR`), `--no-snapshot` takes none; a terminal is asked. Exit code 0: all current; 1: a store, or the snapshot,
 * failed; 2: the configuration, or other arguments; 3: refused.
 */
import { parseArgs } from 'node:util';
import { beforeMigration } from '../cutover/snapshot/before-migration.ts';
import { openMongoStore } from '../db/mongo/store.ts';
import type { Store } from '../db/port.ts';
import { openPostgresStore } from '../db/postgres/store.ts';
import { ConfigError, loadStoresConfig, type StoresConfig } from '../plugins/config/stores.ts';
import { ask } from './ask.ts';

const MIGRATION_TIMEOUT_MS = 600_000;
const OPTIONS = {
  snapshot: { type: 'boolean' },
  'no-snapshot': { type: 'boolean' },
  dir: { type: 'string', default: '.data/snapshots' },
} as const;

function parse() {
  try {
    const { values } = parseArgs({ options: OPTIONS });
    if (values.snapshot === true && values['no-snapshot'] === true) throw new Error('either of them');
    return values;
  } catch {
    console.error('usage: npm run migrate -- [--snapshot [--dir DIR] | --no-snapshot]');
    process.exit(2);
  }
}

function configuration(): StoresConfig {
  try {
    return loadStoresConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) console.error(problem);
    process.exit(2);
  }
}

async function migrate(store: Store): Promise<boolean> {
  try {
    await store.migrate((line) => console.log(line));
    console.log(`${store.name}: schema is current`);
    return true;
  } catch (error) {
    console.error(`${store.name}: ${error instanceof Error ? error.message : 'migration failed'}`);
    return false;
  }
}

/** Whether it may begin; null: what had to come first has failed. */
async function mayBegin(stores: readonly Store[]): Promise<boolean | null> {
  try {
    return await beforeMigration({
      stores,
      urls: { postgres: databaseUrl, mongo: mongoUrl },
      codec,
      word: given.snapshot ? '--snapshot' : given['no-snapshot'] ? '--no-snapshot' : null,
      ask: process.stdin.isTTY === true && process.stderr.isTTY === true ? ask : null,
      env: process.env,
      dir: given.dir,
      tell: (line) => console.error(line),
    });
  } catch (error) {
    console.error(`snapshot: ${error instanceof Error ? error.message : 'failed'}; nothing was migrated`);
    return null;
  }
}

const given = parse();
const { databaseUrl, mongoUrl, mongoCodec: codec } = configuration();
const stores: Store[] = [];
if (databaseUrl !== null)
  stores.push(await openPostgresStore({ url: databaseUrl, migrationTimeoutMs: MIGRATION_TIMEOUT_MS }));
if (mongoUrl !== null) stores.push(await openMongoStore({ url: mongoUrl, codec, emailKeyPass: false }));
const begins = await mayBegin(stores);
const results: boolean[] = [];
if (begins === true) for (const store of stores) results.push(await migrate(store));
for (const store of stores) await store.close();
process.exitCode = begins === null ? 1 : begins === false ? 3 : results.every(Boolean) ? 0 : 1;
