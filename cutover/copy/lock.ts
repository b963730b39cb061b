import { hash } from 'node:crypto';
import { createRuns, RangeLost } from '../../db/postgres/copy/runs.ts';
import { changedByAnother } from './run.ts';
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

/**
 * A run as its coordinator goes on with it. When the service has become too slow for it, those who only help leave it alone as
 * well, until it is gone on with.
 */
export async function heeding<T>({ postgres }: CopyScope, run: string, work: () => Promise<T>): Promise<T> {
  const runs = createRuns(postgres);
  await runs.hold(run, false);
  try {
    return await work();
  } catch (error) {
    if (error instanceof RangeLost) throw changedByAnother(run);
    const isOverloaded = error instanceof CopyRefused && error.reason === 'overloaded';
    // Why it has stopped is worth more than that this could not be said.
    if (isOverloaded) await runs.hold(run, true).catch(() => {});
    throw error;
  }
}

/** As much of its digest as a number holds. */
const keyOf = (run: string): number => hash('sha256', `verify ${run}`, 'buffer').readUIntBE(0, 6);
