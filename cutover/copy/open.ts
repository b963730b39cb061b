import { type Codec, DEFAULT_CODEC } from '../../db/canonical.ts';
import { type MongoBulk, openMongoBulk } from '../../db/mongo/copy/client.ts';
import { openPostgresBulk, type PostgresBulk } from '../../db/postgres/copy/client.ts';

export interface BulkOptions {
  readonly mongoUrl: string;
  readonly postgresUrl: string;
  /** How documents are read and written. Default: the default mapping. */
  readonly codec?: Codec;
  /** Ranges worked at once. Default 2. */
  readonly jobs?: number;
  /** Bound on one statement that merges, indexes or analyses, ms. Default 10 min. */
  readonly statementTimeoutMs?: number;
}

export interface Bulk {
  readonly mongo: MongoBulk;
  readonly postgres: PostgresBulk;
  close(): Promise<void>;
}

/** The bulk verbs' own connections, besides those of the stores. Opens without a word to the servers. */
export function openBulk({
  mongoUrl,
  postgresUrl,
  codec = DEFAULT_CODEC,
  jobs = 2,
  statementTimeoutMs = 600_000,
}: BulkOptions): Bulk {
  const mongo = openMongoBulk({ url: mongoUrl, poolMax: jobs + 4, timeoutMs: 60_000, codec });
  // One for the lock, and for each job one for its transaction and one for its jobs and beats.
  const postgres = openPostgresBulk({ url: postgresUrl, poolMax: 2 * jobs + 3, statementTimeoutMs });
  return {
    mongo,
    postgres,
    async close() {
      await Promise.all([mongo.close(), postgres.close()]);
    },
  };
}
