/**
 * Drizzle by its CommonJS files. Of its hundred ES modules Node reads the package's description anew for each, and that
 * is 180 kB: half a second of processor time at every start.
 */
import { createRequire } from 'node:module';

const load = createRequire(import.meta.url);

export const { getTableColumns, sql } = load('drizzle-orm') as typeof import('drizzle-orm');
export const {
  bigint,
  boolean,
  check,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
} = load('drizzle-orm/pg-core') as typeof import('drizzle-orm/pg-core');
