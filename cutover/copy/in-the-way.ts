/** Why a document that reads well by itself is not to be moved yet: another one is in its way. */
import { decodeIds } from '../../db/ids.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import type { Quarantined } from '../../db/postgres/copy/findings.ts';
import type { RecordOf, UserRecord } from '../../db/records.ts';
import { classify, createCounts } from './classify.ts';
import type { CopyScope } from './types.ts';

/** The field that says so; null: nothing is. */
export async function inTheWay(
  scope: CopyScope,
  { run }: Pick<Quarantined, 'run'>,
  record: RecordOf[keyof RecordOf],
): Promise<'email' | 'userId' | null> {
  if ('emailKey' in record) return (await isShared(scope, run, record)) ? 'email' : null;
  return 'tokenHash' in record && 'rotation' in record && (await isOfAside(scope, record.userId))
    ? 'userId'
    : null;
}

/** Whether another living user has the e-mail, but for those of whom it was said that they stay behind. */
async function isShared(scope: CopyScope, run: string, { id, emailKey }: UserRecord): Promise<boolean> {
  if (emailKey === null) return false;
  const { mongo, postgres } = scope;
  // By what was said of each of them: where many share one, it does not name them all.
  const rows = await postgres.query<{ id: string }>(
    `select id from (
       select other.record_id as id from copy_findings as own
       join copy_findings as other using (run, entity, field, reason, detail)
       where own.run = $1 and own.entity = 'user' and own.record_id = $2 and own.reason = 'duplicate-email'
       union select id from users where email_key = $3
     ) as rivals
     where id <> $2 and not exists (
       select from copy_quarantine where entity = 'user' and record_id = id and state in ('accepted', 'dropped')
     )`,
    [run, id, emailKey],
  );
  const _ids = decodeIds(rows.map((row) => row.id));
  for await (const raw of eachRaw(mongo, 'user', _ids)) {
    const read = classify(mongo.codec, 'user', raw, new Date(0), createCounts());
    if (read.kind === 'good' && read.record.emailKey === emailKey) return true;
  }
  return false;
}

/** Whether a user was put aside, and the other store has none of that name. */
async function isOfAside({ postgres }: CopyScope, userId: string): Promise<boolean> {
  const rows = await postgres.query(
    `select from copy_quarantine where entity = 'user' and record_id = $1 and state <> 'moved'
     and not exists (select from users where id = $1)`,
    [userId],
  );
  return rows.length > 0;
}
