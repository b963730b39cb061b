/** Both stores and the bulk connections of one process, without a test runner. */
import { type Bulk, type BulkOptions, type CopyScope, openBulk } from '../../cutover/copy/index.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';

export async function openScope(
  urls: Pick<BulkOptions, 'mongoUrl' | 'postgresUrl'>,
  given: Partial<CopyScope> = {},
): Promise<{ readonly scope: CopyScope; close(): Promise<void> }> {
  const bulk: Bulk = openBulk(urls);
  const mongo = await openMongoStore({ url: urls.mongoUrl, timeoutMs: 10_000, emailKeyPass: false });
  const postgres = await openPostgresStore({ url: urls.postgresUrl, timeoutMs: 10_000 });
  const scope: CopyScope = {
    stores: { mongo, postgres },
    mongo: bulk.mongo,
    postgres: bulk.postgres,
    environment: systemEnvironment(),
    telemetry: SILENT,
    retentionMs: 30 * 86_400_000,
    ...given,
  };
  return {
    scope,
    async close() {
      await Promise.all([bulk.close(), mongo.close(), postgres.close()]);
    },
  };
}
