import type { Books, Replica } from '../../replica.ts';
import type { Client } from '../client.ts';
import { deleteExpired } from '../purge.ts';
import { createApply } from './apply.ts';
import { createMarks } from './marks.ts';
import { createReads } from './read.ts';
import { createRepair } from './repair.ts';

export function createReplica(client: Client, books: Books): Replica {
  return {
    ...createReads(client),
    ...createApply(client, books),
    ...createMarks(client),
    ...createRepair(client),
    purge: (query) => deleteExpired(client, query),
    leftBehind: async () => new Set(),
    toLeaveBehind: async () => new Set(),
  };
}
