import { CopyRefused, type CopyScope } from './types.ts';

/** Any number no other program uses on this database: who holds it coordinates copies. */
const LOCK_KEY = 4_717_026_502;

/** One process coordinates at a time; a killed one lets go at once, because its connection ends. */
export async function coordinating<T>(scope: CopyScope, work: () => Promise<T>): Promise<T> {
  const lock = await scope.postgres.lock(LOCK_KEY);
  if (lock === null) throw new CopyRefused('busy', 'another process is coordinating a copy');
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
