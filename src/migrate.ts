/**
 * `npm run migrate`: brings the schema of each store that is configured up to date. Reads DATABASE_URL and MONGO_URL
 * (or the files that DATABASE_URL_FILE and MONGO_URL_FILE name) and MONGO_MAPPING_FILE. Exit code 0: all current; 1: a store failed; 2: no
 * store is configured.
 */
import { readFileSync } from 'node:fs';
import { type Codec, DEFAULT_CODEC, MappingInvalid } from '../db/canonical.ts';
import { openMongoStore } from '../db/mongo/store.ts';
import type { Store } from '../db/port.ts';
import { openPostgresStore } from '../db/postgres/store.ts';
import { readMapping } from '../plugins/config/mapping.ts';

const MIGRATION_TIMEOUT_MS = 600_000;

function setting(name: string): string | undefined {
  const file = process.env[`${name}_FILE`];
  return file === undefined ? process.env[name] || undefined : readFileSync(file, 'utf8').trim();
}

async function migrate(open: () => Promise<Store>): Promise<boolean> {
  const store = await open();
  try {
    await store.migrate((line) => console.log(line));
    console.log(`${store.name}: schema is current`);
    return true;
  } catch (error) {
    console.error(`${store.name}: ${error instanceof Error ? error.message : 'migration failed'}`);
    return false;
  } finally {
    await store.close();
  }
}

/** Null when the mapping file cannot be used; it has been said why. */
function mongoCodec(): Codec | null {
  const file = process.env['MONGO_MAPPING_FILE'] ?? '';
  try {
    return file === '' ? DEFAULT_CODEC : readMapping(file);
  } catch (error) {
    if (!(error instanceof MappingInvalid)) throw error;
    for (const problem of error.problems) console.error(`MONGO_MAPPING_FILE: ${problem}`);
    return null;
  }
}

const databaseUrl = setting('DATABASE_URL');
const mongoUrl = setting('MONGO_URL');
const results: boolean[] = [];
if (databaseUrl !== undefined) {
  results.push(
    await migrate(() => openPostgresStore({ url: databaseUrl, migrationTimeoutMs: MIGRATION_TIMEOUT_MS })),
  );
}
if (mongoUrl !== undefined) {
  const codec = mongoCodec();
  results.push(codec !== null && (await migrate(() => openMongoStore({ url: mongoUrl, codec }))));
}
if (results.length === 0) console.error('nothing to migrate: set DATABASE_URL, MONGO_URL or both');
process.exitCode = results.length === 0 ? 2 : results.every(Boolean) ? 0 : 1;
