import { hash } from 'node:crypto';
import { CopyRefused, type CopyScope } from './types.ts';

/** Any number no other program uses on this database: who holds it coordinates copies. */
const LOCK_KEY = 4_717_026_502;

/**
 * One process coordinates copies at a time, or this one verify; a killed one lets go at once, because its connection ends.
 */
export async function coordinating<T>(
  scope: CopyScope,
  work: () => Promise<T>,
  verify: string | null = null,
): Promise<T> {
  const lock = await scope.postgres.lock(verify === null ? LOCK_KEY : keyOf(verify));
  if (lock === null) {
    const what = verify === null ? 'coordinating a copy' : `at work on verify ${verify}`;
    throw new CopyRefused('busy', `another process is ${what}`);
  }
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** As much of its digest as a number holds. */
const keyOf = (run: string): number => hash('sha256', `verify ${run}`, 'buffer').readUIntBE(0, 6);
