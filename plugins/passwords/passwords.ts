import { Piscina } from 'piscina';
import { formatPreHashed, parseStored, type StoredHash } from '../../db/password-hash.ts';
import { dummyHash, needsPreHash, preHash, repeatsAnother } from './stored.ts';
import { createTurns } from './turns.ts';
import type { HashJob, WorkerSettings } from './worker.ts';

/** All threads are busy, and the queue is full or has not moved on in time: nothing was computed, try again later. */
export class HashingOverloaded extends Error {
  override readonly name = 'HashingOverloaded';
  constructor() {
    super('the password hashing queue is full');
  }
}

/** Why a stored hash can match nothing: its text, or a pre-hash key that is not configured. */
export type UnusableReason = 'malformed' | 'unknown-key';

export interface Passwords {
  /**
   * Hash to be stored. Takes the password exactly as it is. `from`: for whom, such as a network; those for whom much is
   * to be hashed wait for the others. Throws HashingOverloaded.
   */
  hash(password: string, from?: string): Promise<string>;
  /**
   * Whether the hash is of this password. Costs the same whatever the hash: null (no such user) and unusable ones are
   * checked against a dummy, ones of lower cost are topped up; only a hash of higher cost takes longer. Throws
   * HashingOverloaded.
   */
  verify(password: string, hash: string | null, from?: string): Promise<boolean>;
  /** Whether a hash that has just matched the password should be replaced: lower cost, cut password or older key. */
  needsUpgrade(hash: string, password: string): boolean;
  /** Jobs that run or wait now. */
  pending(): number;
  /** Finishes what was accepted, refuses the rest, ends the threads. */
  close(): Promise<void>;
}

export interface PasswordOptions {
  /** bcrypt cost of new hashes: the logarithm of the rounds. */
  readonly cost: number;
  readonly threads: number;
  /** Jobs that may wait for a thread. */
  readonly queueMax: number;
  readonly preHashKeys: { readonly current: string; key(version: string): Buffer | null };
  /** Called with each stored hash that no password can match; never with the hash. */
  readonly onUnusable?: (reason: UnusableReason) => void;
}

/** A little precedence for the event loop on busy cores; more would starve hashing beside other processes. */
const NICENESS = 2;

/** Longest wait for a thread. Whoever waited so long is told to come again while the connection still stands. */
export const HASH_WAIT_MAX_MS = 30_000;

/** Hashes passwords in threads of their own. Close it, or the process does not end. */
export function createPasswords(options: PasswordOptions): Passwords {
  const { cost, threads, queueMax, preHashKeys } = options;
  const settings: WorkerSettings = { niceness: NICENESS };
  const pool = new Piscina<HashJob, string | boolean>({
    filename: new URL('./worker.ts', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
    workerData: settings,
    // The threads need neither the service's secrets nor its debugger.
    env: {},
    execArgv: [],
  });
  const dummy = dummyHash(cost);
  const turns = createTurns(threads, queueMax, HASH_WAIT_MAX_MS, () => new HashingOverloaded());
  const accepted = new Set<Promise<string | boolean>>();
  let closed = false;

  async function run(job: HashJob, from: string): Promise<string | boolean> {
    if (closed) throw new HashingOverloaded();
    const done = turns.run(() => pool.run(job), from);
    accepted.add(done);
    try {
      return await done;
    } finally {
      accepted.delete(done);
    }
  }

  /** The hash and what bcrypt is to be given for it; null when nothing can match. */
  function prepare(password: string, hash: string): { stored: StoredHash; input: string } | null {
    const stored = parseStored(hash);
    if (stored === null) {
      options.onUnusable?.('malformed');
      return null;
    }
    // No hash that is plain was made of it but by the old service, and the password it repeats would match that, too.
    if (stored.keyVersion === null) return repeatsAnother(password) ? null : { stored, input: password };
    const key = preHashKeys.key(stored.keyVersion);
    if (key === null) options.onUnusable?.('unknown-key');
    return key && { stored, input: preHash(password, key) };
  }

  function currentKey(): Buffer {
    const key = preHashKeys.key(preHashKeys.current);
    if (key === null) throw new Error('the current pre-hash key is missing');
    return key;
  }

  return {
    async hash(password, from = '') {
      if (!needsPreHash(password)) return String(await run({ kind: 'hash', password, cost }, from));
      const input = preHash(password, currentKey());
      const hashed = await run({ kind: 'hash', password: input, cost }, from);
      return formatPreHashed(preHashKeys.current, String(hashed));
    },
    async verify(password, hash, from = '') {
      const prepared = hash === null ? null : prepare(password, hash);
      const { stored, input } = prepared ?? { stored: dummy, input: password };
      const job = { password: input, hash: stored.bcrypt, hashCost: stored.cost, cost };
      const matches = await run({ kind: 'verify', ...job }, from);
      return prepared !== null && matches === true;
    },
    needsUpgrade(hash, password) {
      const stored = parseStored(hash);
      if (stored === null) return false;
      const keyVersion = needsPreHash(password) ? preHashKeys.current : null;
      return stored.cost < cost || stored.keyVersion !== keyVersion;
    },
    pending: turns.pending,
    async close() {
      closed = true;
      await Promise.allSettled(accepted);
      await pool.close();
    },
  };
}
