/** Numbers, troubles and refusals as an operator reads them. */
import type { StoreName, StoreUnavailable } from '../db/errors.ts';
import type { Refusal } from './protocol/changes.ts';
import type { ControlRecord } from './protocol/types.ts';

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
] as const;

/** `340 ms`, `1.5 s`, `90 s`, `24 h`, `3 d`: the largest unit that gives at least 2, with one decimal place at most. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const [size, name] = UNITS.find(([size]) => ms >= 2 * size) ?? [1_000, 's'];
  return `${Math.round((ms / size) * 10) / 10} ${name}`;
}

const WORDS: Readonly<Record<Exclude<Refusal, 'incomplete-copy' | 'changed'>, string>> = {
  'not-authority': 'authority is with the other store',
  'in-transition': 'a change of authority is under way',
  'other-transition': 'this attempt at a change of authority is no longer the one under way',
  'not-fenced': 'the fence has not been closed',
  'higher-epoch': 'it is of a later epoch already',
  'illegal-move': 'no such move leads on from this mode',
  contradiction: 'the setting contradicts another one',
  'no-mirror': 'in this mode nothing is mirrored',
  'other-system': 'it is of another system',
};

/** What telling a store of the record may show. */
export const LOST_COPY =
  'the copy has become stale meanwhile, as happens when the mirror’s store is emptied, or put back from an older dump, or PostgreSQL replaced by a standby: `cutover log` says why';

/** Why the control record did not take a change, and how it stands. */
export function whyRefused(reason: Refusal, { mode, revision, copy }: ControlRecord): string {
  if (reason === 'incomplete-copy') return `the control record refused it: the copy is ${copy.kind}`;
  if (reason !== 'changed') return `the control record refused it: ${WORDS[reason]}`;
  return `somebody else has changed the control record meanwhile, which is in ${mode} at revision ${revision}: look at \`cutover status\`, then try again`;
}

export const STORE_NAMES = { mongo: 'MongoDB', postgres: 'PostgreSQL' } as const;
export const VARIABLES = { mongo: 'MONGO_URL', postgres: 'DATABASE_URL' } as const;

/** What is the matter with a store, behind its name. */
export function troubleOf(reason: StoreUnavailable['reason']): string {
  if (reason === 'timeout') return 'does not answer in time';
  if (reason === 'read-only') return 'answers, but takes no writes';
  if (reason === 'forbidden') return 'does not let its user do that';
  if (reason === 'validator') return 'refuses the document by a validator of its collection';
  if (reason === 'unfaithful') return 'holds a document that would not be read back as it is written';
  if (reason === 'disk-full') return 'has no space left on its disk';
  if (reason === 'contention' || reason === 'overloaded') return 'is too busy';
  if (reason === 'connection-lost') return 'dropped the connection';
  return 'cannot be reached';
}

/** Of what was thrown by one of the stores. */
export function troubleIn({ store, reason }: StoreUnavailable): string {
  return `${store === null ? 'a store' : STORE_NAMES[store]} ${troubleOf(reason)}`;
}

/** What to do about it. */
export function remedyOf(store: StoreName, reason: StoreUnavailable['reason']): string {
  const variable = VARIABLES[store];
  if (reason === 'read-only') return `check that ${variable} leads to the primary, and not to a replica`;
  if (reason === 'forbidden')
    return `grant the user of ${variable} what it needs: db/postgres/roles.sql, db/mongo/roles.js`;
  if (reason === 'validator') return 'cutover preflight names the validator';
  if (reason === 'unfaithful') return 'the log of the service names the document and its fields';
  if (reason === 'disk-full') return 'give its server space, then try again';
  if (reason === 'contention' || reason === 'overloaded')
    return 'try again; STORE_TIMEOUT allows it more time';
  return (
    `check that the server runs, that ${variable} names its host, port, database and user, ` +
    'and that this machine may reach it; STORE_TIMEOUT allows it more time'
  );
}
