import { CompiledQuery, type Kysely } from 'kysely';
import type { RecordName, Replica } from '../../replica.ts';
import type { Database } from '../database.ts';
import { type Ask, leftBehindAmong, toLeaveBehindAmong } from '../left-behind.ts';
import { deleteExpired } from '../purge.ts';
import { createApply } from './apply.ts';
import { createMarks } from './marks.ts';
import { createRecords } from './records.ts';

export function createReplica(db: Kysely<Database>): Replica {
  const ask: Ask = (text, values) =>
    db.executeQuery(CompiledQuery.raw(text, values) as CompiledQuery<RecordName>);
  return {
    ...createRecords(db),
    ...createApply(db),
    ...createMarks(db),
    purge: (query) => deleteExpired(db, query),
    leftBehind: (names) => leftBehindAmong(ask, names),
    toLeaveBehind: (names) => toLeaveBehindAmong(ask, names),
  };
}
