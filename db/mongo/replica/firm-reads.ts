import mongoose from 'mongoose';
import type { Client, Opened } from '../client.ts';

export interface FirmOptions {
  readonly maxTimeMS: number;
  readonly readConcern?: mongoose.mongo.ReadConcernLike;
}

export type FirmRead = <T>(read: (opened: Opened, options: FirmOptions) => Promise<T>) => Promise<T>;

/** Strongest first. A server of one member without a replica set has no other state than the one it answers with. */
const LEVELS = ['linearizable', 'majority', null] as const;

/** How servers say that they have no such read concern: bad value, failed to parse, invalid options, not supported. */
const UNSUPPORTED = new Set([2, 9, 59, 72, 115, 123, 148, 238]);

/**
 * Reads on the primary what can no longer be undone, and only while it still is the primary: linearizable on a replica
 * set. Falls back to majority and then to the server's own on servers that refuse the stronger one, for good.
 */
export function createFirmReads(client: Client): FirmRead {
  let level = 0;
  return async (read) => {
    for (;;) {
      const tried = level;
      try {
        return await client.read((opened) => read(opened, optionsFor(opened, LEVELS[tried] ?? null)));
      } catch (error) {
        if (!isUnsupported(error) || tried === LEVELS.length - 1) throw error;
        level = Math.max(level, tried + 1);
      }
    }
  };
}

function optionsFor({ maxTimeMS }: Opened, level: (typeof LEVELS)[number]): FirmOptions {
  return level === null ? { maxTimeMS } : { maxTimeMS, readConcern: { level } };
}

function isUnsupported(error: unknown): boolean {
  return error instanceof mongoose.mongo.MongoServerError && UNSUPPORTED.has(Number(error.code));
}
