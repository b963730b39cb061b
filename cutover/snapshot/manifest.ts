/** What a snapshot says of itself. It names stores, collections, tables and counts; never a value of a record. */
import { z } from 'zod';
import { STORES } from '../../db/errors.ts';

const moment = z.iso.datetime();
const count = z.int().min(0);

const control = z
  .object({ epoch: z.int(), revision: z.int(), body: z.json() })
  .nullable()
  .describe('The control record as it was; a restore does not bring it back');

const mongo = z.object({
  server: z.string(),
  database: z.string(),
  /** By the server's clock. */
  at: moment,
  tookMs: z.number(),
  /** Whether all collections are as of one moment. */
  consistent: z.boolean(),
  inconsistentBecause: z.string().nullable(),
  pending: count,
  control,
  collections: z.array(z.object({ name: z.string(), documents: count })),
  leftOut: z.array(z.string()),
});

const postgres = z.object({
  server: z.string(),
  database: z.string(),
  major: z.int(),
  at: moment,
  tookMs: z.number(),
  consistent: z.literal(true),
  method: z.enum(['pg_dump', 'copy']),
  tool: z.string().nullable(),
  pending: count,
  control,
  migrations: z.array(z.object({ tag: z.string(), hash: z.string() })),
  /** By COPY only. */
  tables: z.array(z.object({ name: z.string(), columns: z.array(z.string()), rows: count })),
});

export const manifestSchema = z.object({
  format: z.literal(1),
  name: z.string(),
  createdAt: moment,
  /** Null: no system had been started. */
  system: z
    .object({
      mode: z.string(),
      epoch: count,
      revision: count,
      authority: z.enum(STORES),
      copy: z.string(),
      /** Marks in the authority; null: not known. */
      pending: count.nullable(),
      transition: z.string().nullable(),
    })
    .nullable(),
  stores: z.object({ mongo: mongo.nullable(), postgres: postgres.nullable() }),
  files: z.array(z.object({ path: z.string(), bytes: count, sha256: z.string() })),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type MongoPart = NonNullable<Manifest['stores']['mongo']>;
export type PostgresPart = NonNullable<Manifest['stores']['postgres']>;

export const MANIFEST = 'manifest.json';
/** In the format of `sha256sum --check`. It holds the manifest's own sum too. */
export const SUMS = 'SHA256SUMS';
