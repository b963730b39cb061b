import type { Kysely } from 'kysely';
import type { Replica } from '../../replica.ts';
import type { Database } from '../database.ts';
import { deleteExpired } from '../purge.ts';
import { createApply } from './apply.ts';
import { createMarks } from './marks.ts';
import { createRecords } from './records.ts';

export function createReplica(db: Kysely<Database>): Replica {
  return {
    ...createRecords(db),
    ...createApply(db),
    ...createMarks(db),
    purge: (query) => deleteExpired(db, query),
  };
}
