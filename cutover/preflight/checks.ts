/** What was found, judged. Pure. */
import type { LegacyIndex, MongoFacts } from '../../db/mongo/snapshot/inspect.ts';
import type { PostgresFacts } from '../../db/postgres/snapshot/inspect.ts';
import type { PostgresTools } from '../../db/postgres/snapshot/tools.ts';
import { duration } from '../words.ts';
import type { Check, Documents } from './types.ts';

/** Before it, of two indexes on one key only one may be there, whether unique or sparse or neither. */
const MONGODB_MIN = [5, 0] as const;
const POSTGRES_MIN = 15;
/** The one kept for the question whether an answer of the other store may stand in. */
const RESERVED = 1;
/** A row and its index entries take about as much as its document; a run's staging as much again. */
const SPACE_FACTOR = 3;
/** What this service adds to documents and indexes them by, as a share of what they take: stamps, marks, e-mail keys. */
const ADDED_SHARE = 0.5;

/** With less than this of what it takes it cannot go well; between that and all of it the estimate decides nothing. */
const HOPELESS_SHARE = 1 / 3;

type Judged = Omit<Check, 'store'>;

const ok = (name: string, found: string): Judged => ({ name, level: 'ok', found, remedy: null });
const warn = (name: string, found: string, remedy: string | null = null): Judged => ({
  name,
  level: 'warn',
  found,
  remedy,
});
const block = (name: string, found: string, remedy: string): Judged => ({
  name,
  level: 'block',
  found,
  remedy,
});

export interface Wanted {
  readonly instances: number;
  readonly poolMax: number;
  /** Null: could not be asked. */
  readonly migrated: boolean | null;
}

export function judgeMongo(facts: MongoFacts, wanted: Wanted): readonly Check[] {
  const { server, version, isReplicaSet, isWritable, missing, harmful, connections, obstacles } = facts;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < MONGODB_MIN[0] || (major === MONGODB_MIN[0] && minor < MONGODB_MIN[1]);
  const least = MONGODB_MIN.join('.');
  const checks: readonly Judged[] = [
    isOld ? block('version', `${server}`, `MongoDB ${least} or newer`) : ok('version', server),
    isWritable
      ? ok('primary', 'takes writes')
      : block('primary', 'takes no writes', 'let MONGO_URL lead to the primary'),
    isReplicaSet || obstacles.some(({ kind }) => kind === 'sharded')
      ? ok('replica-set', 'is one')
      : warn(
          'replica-set',
          'none: no change streams, so foreign writes are found by verify only',
          'make it a replica set of one',
        ),
    missing === null
      ? warn('privileges', 'the server does not say what this user may do')
      : missing.length === 0
        ? ok('privileges', 'reads, writes, makes indexes')
        : block(
            'privileges',
            `may not ${missing.join(', ')}`,
            'grant it readWrite on this database, or auth_migration of db/mongo/roles.js',
          ),
    connections === null
      ? warn('connections', 'the server does not say')
      : judgeConnections(wanted, {
          max: connections.current + connections.available,
          used: connections.current,
          reserved: RESERVED,
          variable: 'MONGO_POOL_MAX',
        }),
    ...obstacles.map(({ kind, found, remedy }) => block(kind, found, remedy)),
    ...harmful.map(judgeIndex),
    judgeSchema(wanted, 'indexes'),
    judgeDisk({
      holds: facts.dataBytes,
      free: facts.freeBytes,
      takes: facts.dataBytes === null ? null : Math.round(facts.dataBytes * ADDED_SHARE),
    }),
  ];
  return checks.map((check) => ({ ...check, store: 'mongo' }));
}

function judgeIndex({ collection, name, fields, expiresAfterS, unique }: LegacyIndex): Judged {
  const where = `${collection}.${name} on ${fields.join(', ')}`;
  if (expiresAfterS !== null) {
    return block(
      'ttl-index',
      `${where} deletes documents ${duration(expiresAfterS * 1_000)} after that time, behind the mirror's back`,
      'npm run migrate makes it a plain index; this service deletes what has expired',
    );
  }
  const how = unique ? 'is unique, and would refuse what this service writes' : 'is in the way';
  return block('unique-index', `${where} ${how}`, 'npm run migrate replaces it');
}

export interface PostgresWanted extends Wanted {
  readonly server: string;
  readonly durability: readonly string[];
  readonly session: readonly string[];
  readonly tools: PostgresTools | null;
  /** Null: it does not say. */
  readonly history: string | null;
  /** Of the documents to come; null: not known. */
  readonly comingBytes: number | null;
}

export function judgePostgres(facts: PostgresFacts, wanted: PostgresWanted): readonly Check[] {
  const {
    major,
    encoding,
    isWritable,
    mayCreateTables,
    missing,
    forbidden,
    mayAnalyze,
    mayDump,
    connections,
  } = facts;
  const { migrated, tools, durability, session, comingBytes, server, history } = wanted;
  const checks: readonly Judged[] = [
    major < POSTGRES_MIN
      ? block('version', server, `PostgreSQL ${POSTGRES_MIN} or newer`)
      : ok('version', server),
    encoding === 'UTF8'
      ? ok('encoding', encoding)
      : block('encoding', encoding, 'create the database with ENCODING UTF8'),
    isWritable
      ? ok('primary', 'takes writes')
      : block('primary', 'takes no writes', 'let DATABASE_URL lead to the primary, and to no read-only role'),
    mayCreateTables || migrated === true
      ? ok('tables', mayCreateTables ? 'may make tables' : 'are there; this role makes none, which is well')
      : block('tables', 'this role may make none, and they are not there', 'npm run migrate as their owner'),
    missing.length === 0
      ? ok('privileges', 'reads and writes every table')
      : block('privileges', `may not ${missing.join(', ')}`, 'run db/postgres/roles.sql as their owner'),
    mayAnalyze
      ? ok('analyze', 'may gather statistics after a copy')
      : warn(
          'analyze',
          'may not gather statistics: the first queries after a copy would be slow',
          'run db/postgres/roles.sql once more, or `analyze` as the owner after the copy',
        ),
    forbidden.length === 0
      ? ok('staging', 'may make the tables of a copy')
      : block(
          'staging',
          `may make no tables in the schema ${forbidden.join(', nor in ')}`,
          'run db/postgres/roles.sql, and backfill as auth_backfill',
        ),
    ...(durability.length === 0
      ? [ok('durability', 'a crash loses no acknowledged write')]
      : durability.map((problem) => block('durability', problem, 'turn it on at the server'))),
    ...(session.length === 0
      ? [ok('session', 'connections have the settings that they ask for')]
      : session.map((problem) =>
          block('session', problem, 'set it for this role, or let a pooler pass `options` on'),
        )),
    ...(facts.transactionTimeout === '0'
      ? []
      : [
          warn(
            'transaction-timeout',
            `transactions are ended after ${facts.transactionTimeout}, those of a copy too`,
            'set transaction_timeout to 0 for the role that copies',
          ),
        ]),
    judgeStandbys(facts.followers),
    history === null
      ? warn(
          'history',
          'does not say on which timeline it is: a standby that took its place would not be noticed',
          'let its user execute pg_control_system(), pg_current_wal_lsn() and pg_walfile_name(pg_lsn), and restart the instances',
        )
      : ok('history', 'says on which timeline it is'),
    judgeConnections(wanted, { ...connections, reserved: RESERVED, variable: 'POSTGRES_POOL_MAX' }),
    judgeSchema(wanted, 'tables and indexes'),
    judgeDisk({
      holds: facts.databaseBytes,
      free: facts.freeBytes,
      takes: comingBytes === null ? null : comingBytes * SPACE_FACTOR,
    }),
    tools === null
      ? warn(
          'pg_dump',
          `none of version ${major} or newer: snapshots go by COPY`,
          'install it, or set PG_BIN',
        )
      : mayDump
        ? ok('pg_dump', tools.version)
        : block(
            'pg_dump',
            `${tools.version}, which may not read where sequences stand: it makes no snapshot`,
            'run db/postgres/roles.sql once more',
          ),
  ];
  return checks.map((check) => ({ ...check, store: 'postgres' }));
}

/** What is promoted in its place has everything that was answered only where each commit has waited for it. */
export function judgeStandbys({ count, isAwaited }: PostgresFacts['followers']): Judged {
  if (count === 0) return ok('standbys', 'none now');
  const follow = count === 1 ? '1 follows' : `${count} follow`;
  if (isAwaited) return ok('standbys', `${follow}, and commits wait as synchronous_standby_names says`);
  return warn(
    'standbys',
    `${follow}, and no commit waits for any: one that is promoted may lack what was answered last`,
    'name those that may be promoted in synchronous_standby_names',
  );
}

interface Space {
  readonly holds: number | null;
  readonly free: number | null;
  /** What the move adds, about. */
  readonly takes: number | null;
}

/** Of bytes; null: not known. */
export function judgeDisk({ holds, free, takes }: Space): Judged {
  const known = (size: number | null, word: string) => (size === null ? word : bytes(size));
  const sizes = `holds ${known(holds, 'an unknown size')}, the move takes about ${known(takes, 'an unknown size')} more`;
  const found = `${sizes}, ${free === null ? 'what is free is not known' : `${bytes(free)} are free`}`;
  if (free === null || takes === null)
    return warn('disk', found, 'look at the free space of its data folder');
  if (free < takes * HOPELESS_SHARE) return block('disk', found, 'give it more space');
  return free < takes
    ? warn('disk', found, 'give it more space, or watch it during the copy')
    : ok('disk', found);
}

function judgeConnections(
  { instances, poolMax }: Wanted,
  server: {
    readonly max: number;
    readonly used: number;
    readonly reserved: number;
    readonly variable: string;
  },
): Judged {
  const need = instances * (poolMax + server.reserved);
  const found = `${need} wanted by ${instances} × (${poolMax} + ${server.reserved}), ${server.max} to be had, ${server.used} in use now`;
  if (need <= server.max) return ok('connections', found);
  return block('connections', found, `lower ${server.variable}, or let the server give more`);
}

const judgeSchema = ({ migrated }: Wanted, what: string): Judged =>
  migrated === true
    ? ok('schema', `${what} are current`)
    : block('schema', migrated === null ? 'not known' : `${what} are not current`, 'npm run migrate');

/** Letter case, underscores and the like apart. */
const plain = (name: string): string => name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');

/** Of a mapping that was forgotten nothing else tells: there is nothing bad in a collection that holds nothing. */
function judgeEmpty({ collection, total }: Documents, collections: readonly string[]): readonly Judged[] {
  if (total > 0) return [];
  return collections
    .filter((name) => name !== collection && plain(name) === plain(collection))
    .map((name) =>
      warn(
        'empty-collection',
        `${collection} holds no documents, and there is ${name}`,
        `if those are the old service's, name ${name} in the mapping: docs/mapping.md`,
      ),
    );
}

export function judgeDocuments(
  documents: readonly Documents[],
  isSample: boolean,
  collections: readonly string[] = [],
): readonly Check[] {
  const checks: readonly Judged[] = documents.flatMap((each) => [
    ...judgeEmpty(each, collections),
    ...judgeKind(each, isSample),
  ]);
  return checks.map((check) => ({ ...check, store: 'mongo' }));
}

function judgeKind(
  {
    collection,
    read,
    bad,
    leftBehind,
    mailboxIds,
    total,
    duplicates,
    undecided,
    cleaned,
    unknownFields,
  }: Documents,
  isSample: boolean,
): readonly Judged[] {
  const of = isSample ? `of ${read} looked at, ${total} in all` : `of ${read}`;
  const cleanings = Object.values(cleaned).reduce((sum, count) => sum + count, 0);
  const behind = leftBehind === 0 ? '' : `, ${leftBehind} stay behind as decided`;
  const unknown = Object.keys(unknownFields);
  return [
    bad === 0
      ? ok(
          'documents',
          `${collection}: none bad ${of}${behind}${cleanings === 0 ? '' : `, ${cleanings} cleanings`}`,
        )
      : block(
          'documents',
          `${collection}: ${bad} bad ${of}${behind}`,
          'mend them, or backfill --on-bad quarantine; cutover backfill --dry-run names them all',
        ),
    ...Object.entries(cleaned)
      .filter(([what]) => what.endsWith(': foreign-stamp'))
      .map(([what, count]) => {
        const [field] = what.split(':');
        return warn(
          'own-fields',
          `${collection}: ${count} hold a ${field} of another program, which the first write here goes over`,
          'rename it where it is still wanted; docs/cleaning.md, foreign-stamp',
        );
      }),
    ...(mailboxIds === 0
      ? []
      : [
          warn(
            'mailbox-ids',
            `${collection}: ${mailboxIds} ${of} have an e-mail address as _id, which logs, reports, notes and access tokens name them by`,
            'treat all of these as personal data; docs/cleaning.md',
          ),
        ]),
    ...(unknown.length === 0
      ? []
      : [
          warn(
            'unknown-fields',
            `${collection}: ${unknown.slice(0, 10).join(', ')}${unknown.length > 10 ? ' and more' : ''} stay in MongoDB only`,
          ),
        ]),
    ...((duplicates ?? 0) === 0
      ? []
      : [
          undecided === 0
            ? warn(
                'duplicates',
                `${collection}: ${duplicates} share an e-mail with another, and give way by the policy, or stay behind as decided`,
              )
            : block(
                'duplicates',
                `${collection}: ${duplicates} share an e-mail with another, ${undecided} are left bad`,
                'merge them, or backfill with a policy: docs/mapping.md',
              ),
        ]),
  ];
}

function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = Math.min(units.length - 1, size < 1 ? 0 : Math.floor(Math.log2(size) / 10));
  return `${at === 0 ? size : (size / 1_024 ** at).toFixed(1)} ${units[at]}`;
}
