/** What the stores hold when everything has come to rest: invariants 1, 2, 5 and 7. */
import { isDeepStrictEqual } from 'node:util';
import { isExpired } from '../../../../db/apply.ts';
import { ENTITIES, type Entity, type RecordOf } from '../../../../db/records.ts';
import type { MemoryStore } from '../../../support/memory/store.ts';
import type { Entry } from '../history.ts';
import type { Ledger } from './answers.ts';
import { below, type Levels } from './floors.ts';
import { levelsOfSession, levelsOfUser } from './levels.ts';

const recordsOf = <E extends Entity>(store: MemoryStore, entity: E): RecordOf[E][] => {
  const table: ReadonlyMap<string, { readonly record: RecordOf[E] }> = store.tables[entity];
  return [...table.values()].map(({ record }) => record);
};

/** The authority holds all that was acknowledged, and nothing that was said not to be done. */
export function judgeAuthority(ledger: Ledger, entries: readonly Entry[], authority: MemoryStore): void {
  const { floors, attempts, contents, report } = ledger;
  const held = new Map<string, Levels>();
  for (const user of recordsOf(authority, 'user')) {
    held.set(`user ${user.id}`, levelsOfUser(user));
    const place = `password of ${user.id} in generation ${user.sessionGeneration}`;
    const known = contents.get(place);
    if (user.passwordHash !== null && known !== undefined && known !== user.passwordHash) {
      report('two contents', null, `${place}: ${known}, and at rest ${user.passwordHash}`);
    }
  }
  for (const session of recordsOf(authority, 'session')) {
    held.set(`session ${session.id}`, levelsOfSession(session));
    const place = `token of session ${session.id} at rotation ${session.rotation}`;
    const known = contents.get(place);
    if (known !== undefined && known !== session.tokenHash) {
      report('two contents', null, `${place}: ${known}, and at rest ${session.tokenHash}`);
    }
  }
  for (const entity of ['verificationToken', 'resetToken'] as const) {
    for (const { id } of recordsOf(authority, entity)) held.set(`token ${id}`, { exists: 1 });
  }

  for (const record of floors.records()) {
    const floor = floors.before(record, Number.POSITIVE_INFINITY);
    for (const problem of below(floor, held.get(record) ?? {})) {
      report('lost at rest', null, `${record}: ${problem}`);
    }
  }

  // Counted: as often as was answered, and no more often than was tried.
  const count = (what: string, times: number, ...causes: string[]): void => {
    const certain = causes.reduce((sum, cause) => sum + attempts.certain(cause), 0);
    const possible = causes.reduce((sum, cause) => sum + attempts.possible(cause), 0);
    if (times < certain) report('lost at rest', null, `${what}: ${times} times, ${certain} were answered`);
    if (times > possible) report('done unasked', null, `${what}: ${times} times, ${possible} were tried`);
  };
  for (const user of recordsOf(authority, 'user')) {
    const { id } = user;
    count(`sessions of ${id} ended`, user.sessionGeneration, `sessions of ${id}`);
    count(`reset generation of ${id}`, user.resetGeneration, `resets of ${id}`);
    count(`${id} verified`, user.isVerified ? 1 : 0, `verification of ${id}`);
    count(`${id} erased`, user.deletedAt === null ? 0 : 1, `erasure of ${id}`);
  }
  for (const { id, rotation } of recordsOf(authority, 'session')) {
    count(`rotations of ${id}`, rotation, `rotation of ${id}`);
  }
  judgeUndone(ledger, entries, authority);
}

/** What was answered as certainly not done has left no trace. */
function judgeUndone({ report }: Ledger, entries: readonly Entry[], authority: MemoryStore): void {
  const traces = new Set<string>();
  for (const user of recordsOf(authority, 'user')) traces.add(user.id).add(user.passwordHash ?? '');
  for (const session of recordsOf(authority, 'session')) traces.add(session.id).add(session.tokenHash);
  for (const token of recordsOf(authority, 'resetToken')) traces.add(token.id);
  for (const entry of entries) {
    if (entry.outcome !== 'none') continue;
    const [arg] = entry.args;
    for (const trace of tracesOf(arg)) {
      if (traces.has(trace)) report('done after all', entry, `${trace} was answered as not done`);
    }
  }
}

/** What only this call can have written. */
function tracesOf(arg: unknown): readonly string[] {
  if (typeof arg !== 'object' || arg === null) return [];
  const { newHash, toHash, session, token, user } = arg as Record<string, unknown>;
  const idOf = (made: unknown) =>
    typeof made === 'object' && made !== null && 'id' in made ? made.id : undefined;
  const traces = [newHash, toHash, idOf(session), idOf(token), idOf(user)];
  return traces.filter((trace) => typeof trace === 'string');
}

/** Both stores hold the same, and nothing is left to do. What is past retention may be gone from either. */
export function judgeConvergence(
  { report }: Ledger,
  stores: readonly [MemoryStore, MemoryStore],
  expiredBefore: Date,
): void {
  const [left, right] = stores;
  for (const entity of ENTITIES) {
    for (const store of stores) {
      for (const [id, { pendingAt }] of store.tables[entity]) {
        if (pendingAt !== null) report('pending at rest', null, `${store.name} ${entity} ${id}`);
      }
    }
    for (const id of new Set([...left.tables[entity].keys(), ...right.tables[entity].keys()])) {
      const [a, b] = [left.tables[entity].get(id)?.record, right.tables[entity].get(id)?.record];
      const known = a ?? b;
      if (a === b || known === undefined || isExpired(known, expiredBefore)) continue;
      if (isDeepStrictEqual(a, b)) continue;
      const say = (record: typeof a) =>
        record === undefined ? 'missing' : `at (${record.stamp.epoch}, ${record.stamp.version})`;
      report('differs at rest', null, `${entity} ${id}: ${left.name} ${say(a)}, ${right.name} ${say(b)}`);
    }
  }
}

/** One living account for each e-mail, in each store. */
export function judgeEmails({ report }: Ledger, store: MemoryStore): void {
  const holders = new Map<string, string>();
  for (const { id, emailKey } of recordsOf(store, 'user')) {
    if (emailKey === null) continue;
    const other = holders.get(emailKey);
    if (other !== undefined) report('e-mail twice', null, `${emailKey} in ${store.name}: ${other} and ${id}`);
    holders.set(emailKey, id);
  }
}
