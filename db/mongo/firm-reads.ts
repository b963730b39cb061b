/** Reads of what can no longer be undone, from servers that know such a read and from those that do not. */
import mongoose from 'mongoose';
import type { Opened } from './client.ts';

export interface FirmOptions {
  readonly maxTimeMS: number;
  readonly readConcern?: mongoose.mongo.ReadConcernLike;
}

export type FirmRead = <T>(read: (opened: Opened, options: FirmOptions) => Promise<T>) => Promise<T>;

/** Null: the server's own. One member without a replica set has no other state than the one it answers with. */
type Level = 'linearizable' | 'majority' | null;

/** For records: what is read will survive a failover. Costs the server nothing, and may be a moment old. */
export const COMMITTED: readonly Level[] = ['majority', null];
/** For what instances agree on: besides, it is the newest, and the server is still the primary. */
export const LATEST: readonly Level[] = ['linearizable', 'majority', null];

/** How servers say that they have no such read concern: bad value, failed to parse, invalid options, not supported. */
const UNSUPPORTED = new Set([2, 9, 59, 72, 115, 123, 148, 238]);

/** Asks for the strongest of the levels; once a weaker one has answered what a stronger was refused, for that one. */
export function createFirmReads(
  ask: <T>(operation: (opened: Opened) => Promise<T>) => Promise<T>,
  levels: readonly Level[],
): FirmRead {
  let first = 0;

  async function at<T>(
    place: number,
    read: (opened: Opened, options: FirmOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await ask((opened) => read(opened, optionsFor(opened, levels[place] ?? null)));
    } catch (error) {
      if (!isUnsupported(error) || place >= levels.length - 1) throw error;
      // The same words also refuse a question that no level answers.
      const answer = await at(place + 1, read);
      first = Math.max(first, place + 1);
      return answer;
    }
  }

  return (read) => at(first, read);
}

function optionsFor({ maxTimeMS }: Opened, level: Level): FirmOptions {
  return level === null ? { maxTimeMS } : { maxTimeMS, readConcern: { level } };
}

function isUnsupported(error: unknown): boolean {
  return error instanceof mongoose.mongo.MongoServerError && UNSUPPORTED.has(Number(error.code));
}
