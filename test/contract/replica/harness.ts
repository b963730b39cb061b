/**
 * The contract of `db/replica.ts`, for every store. Records are told apart by fresh ids; what looks at all records of a
 * store starts from none that are marked. A database of its own for each group of cases.
 */
import { afterAll, describe } from 'vitest';
import type { Store } from '../../../db/port.ts';
import type { UserRecord } from '../../../db/records.ts';
import type { ReadRaw, StoreDriver } from '../harness.ts';
import { applyCases } from './cases/apply.ts';
import { assuranceCases } from './cases/assurance.ts';
import { booksCases } from './cases/books.ts';
import { decisionCases } from './cases/decisions.ts';
import { markCases } from './cases/marks.ts';
import { raceCases } from './cases/races.ts';
import { repairCases } from './cases/repair.ts';

export interface ReplicaTraits {
  /** Whether a session needs its user to be there. */
  readonly hasForeignKey: boolean;
  /** Makes a user that this store can never take. */
  poison(user: UserRecord): UserRecord;
}

export interface ReplicaSubject {
  readonly store: Store;
  readonly readRaw: ReadRaw;
  readonly traits: ReplicaTraits;
}

const GROUPS = {
  apply: applyCases,
  decisions: decisionCases,
  marks: markCases,
  repair: repairCases,
  races: raceCases,
  books: booksCases,
  assurance: assuranceCases,
};

export function replicaContract(
  driver: StoreDriver,
  traits: ReplicaTraits,
  groups = Object.keys(GROUPS) as readonly (keyof typeof GROUPS)[],
): void {
  describe.each(groups)(`${driver.name}: %s`, async (group) => {
    const { store, readRaw, close } = await driver.open();
    afterAll(close);
    GROUPS[group]({ store, readRaw, traits });
  });
}
