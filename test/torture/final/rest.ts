/** Invariant 7, once nobody writes any more: nothing pending, both stores alike, and a planted difference is found. */
import { setTimeout as sleep } from 'node:timers/promises';
import { STORES, type StoreName } from '../../../db/errors.ts';
import type { System } from '../system/system.ts';
import { compare, type Difference, sharedAddresses } from './compare.ts';
import { type Contents, readMongo, readPostgres } from './records.ts';

export interface Rest {
  /** What does not hold. */
  readonly findings: readonly string[];
  readonly records: number;
  readonly contents: Readonly<Record<StoreName, Contents>>;
}

const SETTLE_MS = 60_000;
const POLL_MS = 200;

export async function readBoth({ stores }: System): Promise<Rest['contents']> {
  const [mongo, postgres] = await Promise.all([
    readMongo(stores.mongo.url),
    readPostgres(stores.postgres.url),
  ]);
  return { mongo, postgres };
}

/** To be asked in a mode with a mirror, after the last request; `settleMs` is what the mirror gets to catch up. */
export async function judgeRest(system: System, settleMs = SETTLE_MS): Promise<Rest> {
  const findings: string[] = [];
  const deadline = performance.now() + settleMs;
  const marksIn = ({ mongo, postgres }: Rest['contents']): number => mongo.marked + postgres.marked;
  // A mail that is settled late still writes; equal and unmarked is rest.
  const contents = await lookUntil(
    deadline,
    () => readBoth(system),
    (seen) => marksIn(seen) === 0 && compare(seen.mongo, seen.postgres).length === 0,
  );
  const marked = marksIn(contents);
  if (marked > 0) findings.push(`${marked} records are still marked after ${settleMs} ms of rest`);
  findings.push(...inWords(compare(contents.mongo, contents.postgres)));
  for (const [name, content] of Object.entries(contents)) {
    const shared = sharedAddresses(content).length;
    if (shared > 0) findings.push(`${shared} addresses have more than one living account in ${name}`);
  }
  if (findings.length === 0) findings.push(...(await plantedIsFound(system, contents.postgres, deadline)));
  const records = Object.values(contents.postgres.rows).reduce((sum, rows) => sum + rows.size, 0);
  return { findings, records, contents };
}

/** The first that will do, or the last before the deadline. */
async function lookUntil<T>(
  deadline: number,
  look: () => Promise<T>,
  isEnough: (seen: T) => boolean,
): Promise<T> {
  for (;;) {
    const seen = await look();
    if (isEnough(seen) || performance.now() >= deadline) return seen;
    await sleep(POLL_MS);
  }
}

function inWords(differences: readonly Difference[]): readonly string[] {
  const shown = differences
    .slice(0, 20)
    .map(({ table, id, field, what }) => `${table} ${id} ${field}: ${what}`);
  return differences.length > 20 ? [...shown, `and ${differences.length - 20} more differences`] : shown;
}

/**
 * One byte, under the same stamp, in each store in turn. Nobody else sees it: to the service it would be a foreign write.
 * A mail that is settled only now makes more of it, for a moment.
 */
async function plantedIsFound(
  { stores }: System,
  { rows }: Contents,
  deadline: number,
): Promise<readonly string[]> {
  const [user] = [...rows.users.values()].filter((each) => each['deleted_at'] === null);
  if (user === undefined) return ['there is no user to plant a difference in'];
  const [id, name] = [String(user['id']), String(user['name'])];
  const planted = { id, name: `${name.slice(0, -1)}${name.endsWith('!') ? '?' : '!'}` };
  const look = async (store: StoreName): Promise<readonly Difference[]> => {
    const [mongo, postgres] = await Promise.all([
      readMongo(stores.mongo.url, store === 'mongo' ? planted : null),
      readPostgres(stores.postgres.url, store === 'postgres' ? planted : null),
    ]);
    return compare(mongo, postgres);
  };
  const isHit = (found: readonly Difference[]): boolean =>
    found.length === 1 && found[0]?.id === id && found[0].field === 'name';
  const findings: string[] = [];
  for (const store of STORES) {
    const found = await lookUntil(deadline, () => look(store), isHit);
    if (!isHit(found)) {
      findings.push(`a byte changed in ${store} was not found, or more was: ${found.length} differences`);
    }
  }
  return findings;
}
