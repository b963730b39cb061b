/** The two halves of a copy with nothing in between: a cursor over every document, and COPY of the same rows. */
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import mongoose from 'mongoose';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { DEFAULT_MAPPING } from '../../../db/canonical.ts';
import { TABLES } from '../../../db/postgres/database.ts';
import { ENTITIES } from '../../../db/records.ts';
import { answerRequests, endWithParent } from '../lib/child.ts';

export type HalvesRequest =
  /** Reads every document as bytes, in the server's own order or in that of `_id`. */
  | { readonly type: 'scan'; readonly url: string; readonly ordered: boolean }
  /** Writes every row to a file of lines, to be copied again and again. */
  | { readonly type: 'export'; readonly url: string; readonly folder: string }
  /** Copies those lines into tables like the live ones, indexes and checks included, in one transaction. */
  | { readonly type: 'copy'; readonly url: string; readonly folder: string }
  /** Empties the live tables, and forgets every run. */
  | { readonly type: 'empty'; readonly url: string };

export interface HalvesAnswer {
  readonly documents: number;
  readonly ms: number;
}

endWithParent();

answerRequests(async (request: HalvesRequest): Promise<HalvesAnswer> => {
  const startMs = performance.now();
  const documents = await DO[request.type](request as never);
  return { documents, ms: performance.now() - startMs };
});

type Of<T extends HalvesRequest['type']> = Extract<HalvesRequest, { readonly type: T }>;

const DO: { readonly [T in HalvesRequest['type']]: (request: Of<T>) => Promise<number> } = {
  async scan({ url, ordered }) {
    const client = new mongoose.mongo.MongoClient(url, {
      readPreference: 'primary',
      readConcern: { level: 'majority' },
    });
    try {
      let documents = 0;
      for (const entity of ENTITIES) {
        const cursor = client
          .db()
          .collection(DEFAULT_MAPPING.collections[entity])
          .find({}, { raw: true, batchSize: 1_000, ...(ordered && { sort: { _id: 1 } }) });
        while (await cursor.hasNext()) documents += cursor.readBufferedDocuments().length;
      }
      return documents;
    } finally {
      await client.close();
    }
  },
  export: ({ url, folder }) =>
    connected(url, async (client) => {
      for (const entity of ENTITIES) {
        const lines = client.query(copyTo(`copy ${TABLES[entity]} to stdout`));
        await pipeline(lines, createWriteStream(join(folder, TABLES[entity])));
      }
      return 0;
    }),
  copy: ({ url, folder }) =>
    connected(url, async (client) => {
      let documents = 0;
      await client.query('begin');
      await client.query('create schema bare');
      for (const entity of ENTITIES) {
        const table = `bare.${TABLES[entity]}`;
        await client.query(`create table ${table} (like public.${TABLES[entity]} including all)`);
        const stream = client.query(copyFrom(`copy ${table} from stdin`));
        await pipeline(createReadStream(join(folder, TABLES[entity]), { highWaterMark: 1 << 18 }), stream);
        documents += stream.rowCount;
      }
      await client.query('commit');
      return documents;
    }).finally(() => connected(url, (client) => client.query('drop schema if exists bare cascade'))),
  empty: ({ url }) =>
    connected(url, async (client) => {
      const copies = ['copy_runs', 'copy_ranges', 'copy_findings', 'copy_quarantine', 'copy_undo'];
      const tables = [...ENTITIES.map((entity) => TABLES[entity]), ...copies];
      await client.query(`truncate ${tables.join(', ')}`);
      // What one round leaves to be written must not be paid for by the next.
      await client.query('checkpoint');
      return 0;
    }),
};

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
