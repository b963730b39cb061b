import { type Codec, DEFAULT_CODEC } from '../canonical.ts';
import type { Repository, Store, WriteContext } from '../port.ts';
import { isRestored } from '../restored.ts';
import { createAssurance } from './assurance.ts';
import { createChangeFeed } from './changes/feed.ts';
import { createClient } from './client.ts';
import { createEmailKeyPass } from './email-keys.ts';
import { createLimits } from './limits.ts';
import { isMigrated, migrate } from './migrate.ts';
import { createPurge } from './purge.ts';
import { createBooks } from './replica/books.ts';
import { createReplica } from './replica/replica.ts';
import { createSerial } from './serial.ts';
import { assertWritable, describeServer, serverClock } from './server.ts';
import { createSessions } from './sessions.ts';
import { createTokens } from './tokens.ts';
import { createUsers } from './users.ts';

export interface MongoStoreOptions {
  readonly url: string;
  /** How documents are read and written. Default: the default mapping. */
  readonly codec?: Codec;
  /** Bound on each step of an operation (see `client.ts`). Default 2 s. */
  readonly timeoutMs?: number;
  /** Bound on `assurance`. Default 200 ms. */
  readonly assuranceTimeoutMs?: number;
  /** Connections. Default 20. */
  readonly poolMax?: number;
  /** Whether the pass over legacy e-mails runs in the background. Default true. */
  readonly emailKeyPass?: boolean;
  /** Told when the pass is done, and of documents that it could not change. */
  readonly report?: (line: string) => void;
}

/** How long a turn at one record is waited for: a store that is slow, but answers, serves a crowd in less. */
const TURN_WAIT_TIMEOUTS = 4;

export interface MongoStore extends Store {
  /** Resolves when no legacy user is left without a normalised e-mail; at once when no pass runs. */
  whenEmailsKeyed(): Promise<void>;
}

/** Opens without a word to the server: the first operation connects, and each one after a loss tries again. */
export async function openMongoStore(options: MongoStoreOptions): Promise<MongoStore> {
  const { url, timeoutMs = 2000, poolMax = 20, emailKeyPass = true, report = () => {} } = options;
  const { codec = DEFAULT_CODEC } = options;
  const client = createClient({ url, timeoutMs, poolMax, codec });
  const serial = createSerial(TURN_WAIT_TIMEOUTS * timeoutMs);
  const books = createBooks(client);
  const changes = createChangeFeed(client, { url, timeoutMs, poolMax, codec });
  const pass = createEmailKeyPass(client, async () => isRestored(await books.readControl()), report);
  if (!emailKeyPass) await pass.stop();
  pass.kick();

  function at(context: WriteContext): Repository {
    const scope = { client, context, serial };
    return {
      ...createUsers(scope, pass),
      ...createTokens(scope),
      ...createSessions(scope),
      ...createPurge(scope),
    };
  }

  return {
    name: 'mongo',
    at,
    limits: createLimits(client, serial),
    replica: createReplica(client, books),
    books,
    changes,
    assurance: createAssurance(client, options.assuranceTimeoutMs ?? 200),
    leftBehind: async () => new Set(),
    poolUse: client.use,
    ping: () => client.read(({ db }) => assertWritable(db)),
    // Every write asks for the journal and a majority by itself; a server that has no journal refuses it.
    durabilityProblems: async () => [],
    sessionProblems: async () => [],
    describe: () => client.read(({ db }) => describeServer(db)),
    // What was answered has a majority, and no election takes that back; a restored snapshot is fenced.
    history: async () => null,
    clock: () => client.read(({ db }) => serverClock(db)),
    isMigrated: () => client.read(({ db }) => isMigrated(db, codec)),
    async migrate(line) {
      // Building an index takes as long as the collection is large.
      const builder = createClient({ url, timeoutMs, poolMax: 1, patient: true, codec });
      try {
        await builder.write(({ db }) => migrate(db, codec, line));
      } finally {
        await builder.close();
      }
      pass.kick();
    },
    whenEmailsKeyed: () => pass.whenDone(),
    async close() {
      // Together: what the pass waits for ends with the connection.
      await Promise.all([pass.stop(), changes.close(), client.close()]);
    },
  };
}
