/** The connection: made at the first operation, bounded in time, and made again when it was lost. */
import mongoose, { type Connection } from 'mongoose';
import type { Codec } from '../canonical.ts';
import { StoreUnavailable } from '../errors.ts';
import type { PoolUse } from '../port.ts';
import { toStoreError } from './errors.ts';
import { COMMITTED, createFirmReads, type FirmRead } from './firm-reads.ts';
import { defineModels, type Models } from './models.ts';
import { createPoolWatch } from './pool-use.ts';
import { BSON } from './url.ts';

export interface ClientOptions {
  readonly url: string;
  /** For each of: finding the server, connecting, waiting for a connection, the server's work, an answer. */
  readonly timeoutMs: number;
  readonly poolMax: number;
  readonly codec: Codec;
  /** Waits for answers as long as it takes; for building indexes. */
  readonly patient?: boolean;
}

export interface Opened {
  readonly models: Models;
  readonly db: mongoose.mongo.Db;
  /** The server's own limit on each operation. */
  readonly maxTimeMS: number;
}

export interface Client {
  readonly codec: Codec;
  /** Runs one operation; its failure comes out as `StoreUnavailable` when it is the store's. */
  read<T>(operation: (opened: Opened) => Promise<T>): Promise<T>;
  /**
   * The same for records that somebody is told of: what a failover could still roll back is not there yet. A write that
   * was answered is, and so is whatever a write that lost its race lost it to.
   */
  readonly readCommitted: FirmRead;
  write<T>(operation: (opened: Opened) => Promise<T>): Promise<T>;
  use(): PoolUse;
  close(): Promise<void>;
}

/** Answers travel for a while after the server's own limit, which should be the one to speak first. */
const SOCKET_MARGIN_MS = 500;

export function createClient(options: ClientOptions): Client {
  const { timeoutMs } = options;
  const connection = new mongoose.Mongoose().createConnection();
  const models = defineModels(connection, options.codec);
  const pool = createPoolWatch(options.poolMax);
  let opening: Promise<Opened> | null = null;
  let closed = false;

  async function open(): Promise<Opened> {
    await connection.openUri(options.url, driverOptions(options));
    const { db } = connection;
    pool.watch(connection.getClient());
    if (db === undefined) throw new StoreUnavailable('mongo', 'none', 'connect');
    return { models, db, maxTimeMS: timeoutMs };
  }

  /** One attempt at a time; a failed one is forgotten, so that the next operation tries anew. */
  function opened(): Promise<Opened> {
    if (closed) return Promise.reject(new StoreUnavailable('mongo', 'none', 'connect'));
    opening ??= open().catch((error: unknown) => {
      opening = null;
      const mapped = toStoreError(error, 'read');
      throw mapped instanceof StoreUnavailable
        ? mapped
        : new StoreUnavailable('mongo', 'none', 'connect', { cause: error });
    });
    return opening;
  }

  async function run<T>(kind: 'read' | 'write', operation: (opened: Opened) => Promise<T>): Promise<T> {
    const target = await opened();
    try {
      return await operation(target);
    } catch (error) {
      throw toStoreError(error, kind);
    }
  }

  const read = <T>(operation: (opened: Opened) => Promise<T>): Promise<T> => run('read', operation);

  return {
    codec: options.codec,
    read,
    readCommitted: createFirmReads(read, COMMITTED),
    write: (operation) => run('write', operation),
    use: pool.use,
    async close() {
      closed = true;
      await opening?.catch(() => {});
      await closeConnection(connection);
    },
  };
}

function driverOptions({ timeoutMs, poolMax, patient = false }: ClientOptions): mongoose.ConnectOptions {
  return {
    autoIndex: false,
    autoCreate: false,
    bufferCommands: false,
    maxPoolSize: poolMax,
    serverSelectionTimeoutMS: timeoutMs,
    connectTimeoutMS: timeoutMs,
    waitQueueTimeoutMS: timeoutMs,
    socketTimeoutMS: patient ? 0 : timeoutMs + SOCKET_MARGIN_MS,
    heartbeatFrequencyMS: 1000,
    readPreference: 'primary',
    // The driver would send a write once more after any pause of this process, when its authority may have ended;
    // and a server that does not remember the first one would refuse it as a stranger's.
    retryWrites: false,
    retryReads: true,
    writeConcern: { w: 'majority', journal: true, wtimeoutMS: timeoutMs },
    ...BSON,
  };
}

async function closeConnection(connection: Connection): Promise<void> {
  await connection.close();
}
