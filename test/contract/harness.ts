/**
 * One contract for the port. A driver says how to open an implementation and how to look behind its back; the cases
 * are the sentences of `db/port.ts`. `repositoryContract` suits whatever implements `Repository` (a mode of the router
 * as well), `storeContract` adds what only a store promises: stamps, marks, limits.
 *
 * Cases share one database and tell their records apart by fresh ids, or by an era of their own where an operation
 * looks at all records of a time.
 */
import { afterAll, describe } from 'vitest';
import type { Repository, Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import { accountCases } from './cases/accounts.ts';
import { lifecycleCases } from './cases/lifecycle.ts';
import { limitCases } from './cases/limits.ts';
import { mailCases } from './cases/mail.ts';
import { passwordCases } from './cases/passwords.ts';
import { purgeCases } from './cases/purge.ts';
import { raceCases } from './cases/races.ts';
import { resetCases } from './cases/resets.ts';
import { sessionCases } from './cases/sessions.ts';
import { stampCases } from './cases/stamps.ts';
import { stepCases } from './cases/steps.ts';
import { verificationCases } from './cases/verification.ts';

/** Reads a record as it is stored, with a plain client: an adapter must not vouch for itself. */
export type ReadRaw = (entity: Entity, id: string) => Promise<RawRecord | null>;

/** Fields under the record's names, however the store calls them; what is not stored is missing or null. */
export type RawRecord = Readonly<Record<string, unknown>>;

/** What the cases work on. */
export interface Subject {
  readonly repo: Repository;
  readonly readRaw: ReadRaw;
}

export interface StoreSubject extends Subject {
  readonly store: Store;
  readonly commits: Commits;
}

/** How the writes of one operation become visible. */
export type Commits = 'together' | 'one by one';

export interface RepositoryDriver {
  readonly name: string;
  open(): Promise<{ repository: Repository; readRaw: ReadRaw; close(): Promise<void> }>;
}

export interface StoreDriver {
  readonly name: string;
  readonly commits: Commits;
  open(): Promise<{ store: Store; readRaw: ReadRaw; close(): Promise<void> }>;
}

/** The epoch the cases write under unless they are about epochs. */
const EPOCH = 1;

export function repositoryContract(driver: RepositoryDriver): void {
  describe(driver.name, async () => {
    const { repository, readRaw, close } = await driver.open();
    afterAll(close);
    repositoryCases({ repo: repository, readRaw });
  });
}

export function storeContract(driver: StoreDriver): void {
  describe(driver.name, async () => {
    const { store, readRaw, close } = await driver.open();
    afterAll(close);
    const repo = store.at({ epoch: EPOCH, pending: false });
    repositoryCases({ repo, readRaw });
    const subject = { store, repo, readRaw, commits: driver.commits };
    stampCases(subject);
    stepCases(subject);
    limitCases(subject);
    lifecycleCases(subject);
  });
}

function repositoryCases(subject: Subject): void {
  accountCases(subject);
  passwordCases(subject);
  verificationCases(subject);
  resetCases(subject);
  sessionCases(subject);
  mailCases(subject);
  purgeCases(subject);
  raceCases(subject);
}
