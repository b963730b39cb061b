/** Every verb as data: what it takes, what it does, how it ends. The parser and the help are made from this table. */
import { MODES } from '../mode.ts';
import type { Outcome } from './exit-codes.ts';

export interface OptionSpec {
  /** What its value is called in the help; null: it takes none. */
  readonly value: string | null;
  readonly description: string;
}

export interface VerbSpec {
  readonly summary: string;
  /** What follows the verb in its usage line. */
  readonly usage: string;
  /** How many words may follow the verb, options left out. */
  readonly words: readonly number[];
  /** One paragraph each. */
  readonly details: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly ends: readonly Outcome[];
  /** It asks no store, and works without their URLs. */
  readonly withoutStores?: true;
  readonly examples: readonly (readonly [command: string, meaning: string])[];
}

export const COMMON_OPTIONS = {
  json: {
    value: null,
    description: 'One JSON object instead of text; its schema is in docs/cutover-json.md',
  },
  'env-file': {
    value: 'FILE',
    description: 'Also read variables from this file; those of the environment win over it',
  },
  mapping: {
    value: 'FILE',
    description: 'How documents are read and written, in place of MONGO_MAPPING_FILE; docs/mapping.md',
  },
  help: { value: null, description: 'Show this help' },
} as const satisfies Record<string, OptionSpec>;

const modes = MODES.join(', ');

const MOVE_OPTIONS = {
  to: { value: 'MODE', description: `The mode to go to, through those between: ${modes}` },
  'dry-run': {
    value: null,
    description: 'Show the numbered plan and every gate with its number; change nothing',
  },
  force: {
    value: null,
    description:
      'Go on although gates of evidence fail: comparisons, mismatches, soak, a verify or snapshot that is old or missing, ' +
      'foreign-watch (a time in which nobody would have seen writes by others); recorded',
  },
  reason: { value: 'R', description: 'Why; needed with --force, and recorded in the log' },
  timeout: { value: 'S', description: 'Give up after so many seconds, the attempt taken back; default 60' },
  'no-foreign-writers': {
    value: null,
    description: 'State that nothing but this service writes to the database that has authority',
  },
} as const satisfies Record<string, OptionSpec>;

const MOVE_DETAILS = [
  'Only neighbouring modes follow each other; without --to it goes to the next one, with --to step by step as far as ' +
    'the gates let it. A change of authority stops all instances for a moment: requests wait, none fails.',
  'The move to dual-write needs the statement --no-foreign-writers: other writers (the old service, scripts, a ' +
    'shell) leave no marks, and what they write would be missing in the other store. On a terminal it is asked for.',
  'Ctrl-C, or the end of --timeout, takes an attempt of its own back and begins nothing more; what already only goes ' +
    'forward comes to its end first. Either way it says what state it left.',
] as const;

const LIMIT = { limit: { value: 'N', description: 'Show at most so many; default 50' } } as const;

const DIR = {
  dir: { value: 'DIR', description: 'The folder of all snapshots; default .data/snapshots' },
} as const;

const PACE_OPTIONS = {
  jobs: { value: 'N', description: 'Ranges worked at once in this process; default 2' },
  rate: {
    value: 'R',
    description:
      'At most so many documents each second; `cutover set backfill-rate` bounds all processes while they run',
  },
} as const satisfies Record<string, OptionSpec>;

const SNAPSHOT_OPTIONS = {
  dir: {
    value: 'DIR',
    description: 'The folder of the snapshot that is taken before the merge; default .data/snapshots',
  },
  'no-snapshot': { value: null, description: 'Take no snapshot before the merge' },
} as const satisfies Record<string, OptionSpec>;

const COPY_RUNS = [
  'On a terminal a line tells how far it is; elsewhere standard error gets one JSON object a line.',
  'Ctrl-C stops it at once, and says with which run to go on. A process that is killed costs the range it worked on, ' +
    'which another takes up. `cutover set backfill-paused true` pauses all of them.',
] as const;

const DUPLICATE_OPTIONS = {
  duplicates: {
    value: 'RULE',
    description:
      'Who of several users keeps an e-mail: newest, verified, most-recent-login; without it all of them are bad',
  },
  policy: {
    value: 'FILE',
    description: 'The same from a file: rules in their order, and choices by id; docs/mapping.md',
  },
} as const satisfies Record<string, OptionSpec>;

const NAMED = [
  'ID is COLLECTION/ID as `quarantine list` shows it, or the id alone where it is there once.',
] as const;

/** Of a verb that asks the stores: an unexpected error ends any of them with 1, a second Ctrl-C with 4. */
const STORE_ENDS: readonly Outcome[] = ['done', 'difference', 'usage', 'refused', 'aborted', 'unreachable'];

const VERBS = {
  status: {
    summary: 'Show mode, stores, instances, backlog, and what the next step needs',
    usage: '[--watch]',
    words: [0],
    details: ['Reads only. It asks the stores, not the instances, and works when none of them runs.'],
    options: {
      watch: {
        value: null,
        description: 'Again every second until Ctrl-C, then exit code 0; with --json one object a line',
      },
    },
    ends: STORE_ENDS,
    examples: [
      ['cutover status', 'the whole picture'],
      ['cutover status --json --watch', 'one object each second, for a program'],
    ],
  },
  promote: {
    summary: 'One step towards PostgreSQL',
    usage: '[--to MODE] [--dry-run] [--force --reason R] [--timeout S] [--no-foreign-writers]',
    words: [0],
    details: MOVE_DETAILS,
    options: MOVE_OPTIONS,
    ends: STORE_ENDS,
    examples: [
      ['cutover promote --dry-run', 'what would happen, and which gates hold'],
      ['cutover promote --to dual-write --no-foreign-writers', 'start the mirror'],
      ['cutover promote --force --reason "rehearsal"', 'without the evidence, recorded'],
    ],
  },
  rollback: {
    summary: 'One step back towards MongoDB',
    usage: '[--to MODE] [--dry-run] [--force --reason R] [--timeout S] [--no-foreign-writers]',
    words: [0],
    details: MOVE_DETAILS,
    options: MOVE_OPTIONS,
    ends: STORE_ENDS,
    examples: [
      ['cutover rollback --dry-run', 'what would happen, and whether anything would be lost'],
      ['cutover rollback --to shadow-read', 'give authority back to MongoDB'],
    ],
  },
  abort: {
    summary: 'Take back a change of authority that is under way',
    usage: '',
    words: [0],
    details: [
      'For a change whose coordinator is gone. Once the store that loses authority has recorded the change it only goes ' +
        'forward; then this is refused, and the instances finish it by themselves.',
    ],
    options: {},
    ends: STORE_ENDS,
    examples: [['cutover abort', 'instances go on serving as before']],
  },
  pending: {
    summary: 'Records that wait for the mirror, and those it refuses',
    usage: '[--limit N]',
    words: [0],
    details: [
      'Exit code 1 when the mirror refuses a record for good (poisoned) or holds marks of its own (orphans).',
    ],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover pending --limit 10', 'the ten longest pending']],
  },
  conflicts: {
    summary: 'Clashes over a unique key that the mirror met',
    usage: '[--limit N]',
    words: [0],
    details: [
      'Exit code 1 when there is one.',
      'Most end by themselves. `corrupt`: both users have the e-mail in the authority, too, as after writes by others: ' +
        '`cutover backfill --duplicates RULE` decides who keeps it, or `cutover users erase` one of them. `unreadable`: the ' +
        'document of the one who holds it in MongoDB has to be mended there.',
    ],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover conflicts --json', 'for a program']],
  },
  diffs: {
    summary: 'Differences that comparisons of reads have found',
    usage: '[--limit N]',
    words: [0],
    details: ['Exit code 1 when there is one. Values are never shown, only their keyed digests.'],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover diffs', 'entity, id and field of each']],
  },
  foreign: {
    summary: 'Writes that no instance made: by the old service, a script, a shell',
    usage: '[--limit N]',
    words: [0],
    details: [
      'Exit code 1 when there is one. `cutover repair` picks them up, and so does a clean verify that began later.',
      'Found by the change stream of MongoDB, where the server has one, and by verify.',
    ],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover foreign', 'entity and id of each']],
  },
  log: {
    summary: 'The event log: moves, refusals, overrides, settings; the newest first',
    usage: '[--limit N]',
    words: [0],
    details: ['It is only ever added to.'],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover log --limit 5', 'the last five events']],
  },
  set: {
    summary: 'Change a setting while everything runs; without arguments: list all',
    usage: '[KEY VALUE]',
    words: [0, 2],
    details: ['Settings live in the control record; every instance follows within one poll.'],
    options: {},
    ends: STORE_ENDS,
    examples: [
      ['cutover set', 'every setting with its value, default and meaning'],
      ['cutover set shadow-sample 0.1', 'compare a tenth of the reads'],
    ],
  },
  failover: {
    summary: 'PostgreSQL is lost for good: give authority to MongoDB, at a loss',
    usage: '--accept-loss --reason R',
    words: [0],
    details: [
      'Only for a store that will not come back. Whatever it alone had acknowledged is lost. It states that no ' +
        'instance can reach the old store any more: cutover/README.md says how to make that true.',
      'It waits until every lease must have lapsed. The old PostgreSQL, if it returns, is refused until it has been ' +
        'rebuilt as a mirror.',
    ],
    options: {
      'accept-loss': {
        value: null,
        description: 'State that the loss is accepted, and the old store out of reach',
      },
      reason: { value: 'R', description: 'Why; recorded in the log' },
    },
    ends: STORE_ENDS,
    examples: [
      [
        'cutover failover --accept-loss --reason "disk lost, INC-42"',
        'MongoDB has authority under a new epoch',
      ],
    ],
  },
  'sessions end': {
    summary: 'End every session of a user',
    usage: '--user ID',
    words: [0],
    details: [
      'Written in the store that has authority. Final: no later use of these sessions succeeds.',
      'Reset links that the user was sent end with them.',
    ],
    options: { user: { value: 'ID', description: 'The id of the user' } },
    ends: STORE_ENDS,
    examples: [['cutover sessions end --user 64f0c0ffee0123456789abcd', 'the user has to log in again']],
  },
  'users erase': {
    summary: 'Erase a user: personal data goes, a stamped tombstone stays',
    usage: '--user ID',
    words: [0],
    details: ['Written in the store that has authority, and ends the sessions too. It cannot be undone.'],
    options: { user: { value: 'ID', description: 'The id of the user' } },
    ends: STORE_ENDS,
    examples: [['cutover users erase --user 64f0c0ffee0123456789abcd', 'the e-mail is free again']],
  },
  backfill: {
    summary: 'Copy what the authority holds into its mirror, while the service runs',
    usage:
      '[--from mongo|postgres] [--dry-run] [--on-bad rollback|quarantine] [--duplicates RULE | --policy FILE] [--jobs N] [--rate R]',
    words: [0],
    details: [
      'In any mode that mirrors. Never over the authority, never over a newer state. All of it is read and checked before ' +
        'the first write to a live table; docs/cleaning.md says what is cleaned and what is bad.',
      'One bad document and nothing is moved: the report names each by collection, id, field and reason, and the exit ' +
        'code is 1. With --on-bad quarantine such documents are put aside and the rest is moved, with exit code 0: they are ' +
        'dealt with, and `cutover quarantine list` ends with 1 while any of them is left to decide.',
      ...COPY_RUNS,
    ],
    options: {
      from: { value: 'STORE', description: 'The store that has authority: mongo (default) or postgres' },
      'dry-run': {
        value: null,
        description: 'All but the merge, then throw it away; exit code 1 for bad data',
      },
      'on-bad': { value: 'WHAT', description: 'rollback (default) or quarantine' },
      ...DUPLICATE_OPTIONS,
      ...PACE_OPTIONS,
      ...SNAPSHOT_OPTIONS,
    },
    ends: STORE_ENDS,
    examples: [
      ['cutover backfill --dry-run', 'what would be cleaned, and what is bad'],
      ['cutover backfill --on-bad quarantine --jobs 4', 'move all that can be moved'],
      ['cutover backfill --from postgres', 'the way back, after postgres-only'],
    ],
  },
  'backfill list': {
    summary: 'The runs, the latest first',
    usage: '[--limit N]',
    words: [0],
    details: ['Both stores are needed: what is known of runs is kept in PostgreSQL.'],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover backfill list --limit 1', 'the last run']],
  },
  'backfill show': {
    summary: 'One run: how far it is, what it counted, what it found bad',
    usage: 'RUN',
    words: [1],
    details: ['Bad documents by collection, id, field and reason; never with a value.'],
    options: {},
    ends: STORE_ENDS,
    examples: [['cutover backfill show 65f0c0ffee0123456789abcd', 'with its findings']],
  },
  'backfill resume': {
    summary: 'Go on with a run that was stopped or killed',
    usage: 'RUN [--jobs N] [--rate R]',
    words: [1],
    details: [
      'As it was begun: with the same --from, --on-bad and policy; and with the same mapping.',
      ...COPY_RUNS,
    ],
    options: { ...PACE_OPTIONS, ...SNAPSHOT_OPTIONS },
    ends: STORE_ENDS,
    examples: [['cutover backfill resume 65f0c0ffee0123456789abcd', 'from where it was']],
  },
  'backfill rollback': {
    summary: 'Undo a run, sparing each record that live traffic wrote since',
    usage: 'RUN',
    words: [1],
    details: [
      'Exactly what the run wrote, as long as the store it wrote to is not the authority. The copy then counts as stale, unless ' +
        'it is of an earlier run, and this one had neither written nor put aside anything. Its workers stop first; no pause holds it up.',
      'Stopped in the middle, it goes on when it is run again. Exit code 1 when a document of MongoDB cannot be written as it was.',
    ],
    options: {},
    ends: STORE_ENDS,
    examples: [['cutover backfill rollback 65f0c0ffee0123456789abcd', 'as if it had not been']],
  },
  verify: {
    summary: 'Compare both stores, in both directions, while the service runs',
    usage: '[--full|--since T|--sample P|--resume RUN] [--jobs N] [--rate R]',
    words: [0],
    details: [
      'Never writes to a record. Exit code 1 on any difference, named by collection, id and field, without values. Records ' +
        'that are still being mirrored count as lagging, not as different; they are looked at once more in the end, and while ' +
        'nobody mirrors one of them the result is not clean.',
      'Only a full one that is clean is evidence for the step to postgres-primary.',
      ...COPY_RUNS,
    ],
    options: {
      full: { value: null, description: 'Everything; the default' },
      since: { value: 'T', description: 'What was written since a day or a moment: 2026-11-23T16:00:00Z' },
      sample: { value: 'P', description: 'A share of all records: 0.1 or 10%' },
      resume: { value: 'RUN', description: 'Go on with one that was stopped or killed' },
      ...PACE_OPTIONS,
    },
    ends: STORE_ENDS,
    examples: [
      ['cutover verify', 'everything'],
      ['cutover verify --sample 5%', 'quicker, and no evidence'],
    ],
  },
  repair: {
    summary: 'Take up what the last verify found different',
    usage: '[--run RUN] [--dry-run]',
    words: [0],
    details: [
      "Looks at each finding once more. The authority's record is right: it is given to the mirror again. What only the " +
        'mirror has is moved aside there. Verify again afterwards.',
      "Exit code 1 when a document cannot be read as a record, and is the authority's own or one that only the mirror has: " +
        'nobody can repair that.',
    ],
    options: {
      run: { value: 'RUN', description: 'The verify whose findings are taken up; default the latest' },
      'dry-run': {
        value: null,
        description: 'Say what still differs, and change nothing; exit code 1 if anything does',
      },
    },
    ends: STORE_ENDS,
    examples: [['cutover repair --dry-run', 'how much there is to do']],
  },
  'quarantine list': {
    summary: 'Documents that a backfill put aside',
    usage: '[--limit N]',
    words: [0],
    details: [
      'By collection, id, field and reason. Exit code 1 when there is one. Authority cannot change while one is left.',
    ],
    options: LIMIT,
    ends: STORE_ENDS,
    examples: [['cutover quarantine list', 'what is left to decide']],
  },
  'quarantine retry': {
    summary: 'Look at the originals once more, and move those that were mended',
    usage: '[ID]',
    words: [0, 1],
    details: [
      'As they stand in MongoDB by now; all of them, or one. The mirror moves them within moments. Exit code 1 when one ' +
        'is still bad.',
      ...NAMED,
    ],
    options: {},
    ends: STORE_ENDS,
    examples: [['cutover quarantine retry', 'after the documents were mended']],
  },
  'quarantine accept': {
    summary: 'Let a document stay behind',
    usage: 'ID --reason R',
    words: [1],
    details: [
      'It may be missing in the other store from now on, and no later copy asks again. Sessions that were put aside with their user ' +
        'go with the user.',
      ...NAMED,
    ],
    options: { reason: { value: 'R', description: 'Why; recorded in the log' } },
    ends: STORE_ENDS,
    examples: [
      ['cutover quarantine accept users/64f0c0ffee0123456789abcd --reason "never signed in"', 'decided'],
    ],
  },
  'quarantine drop': {
    summary: 'Let a document stay behind, and forget what was put aside of it',
    usage: 'ID --reason R',
    words: [1],
    details: [
      'The original in MongoDB is left as it is. Sessions that were put aside with their user go with the user.',
      ...NAMED,
    ],
    options: { reason: { value: 'R', description: 'Why; recorded in the log' } },
    ends: STORE_ENDS,
    examples: [
      ['cutover quarantine drop users/64f0c0ffee0123456789abcd --reason "a test account"', 'decided'],
    ],
  },
  worker: {
    summary: 'Help with whatever copy is under way, until told to stop',
    usage: '[--jobs N] [--rate R]',
    words: [0],
    details: [
      'Any number of them, on any number of machines. It waits for a backfill to begin; the process that runs `backfill` ' +
        'checks and merges. Ended by Ctrl-C or SIGTERM, with exit code 0.',
    ],
    options: PACE_OPTIONS,
    ends: STORE_ENDS,
    examples: [['cutover worker --jobs 4', 'on another machine']],
  },
  preflight: {
    summary: 'Look at both stores and the documents before anything is moved',
    usage: '[--full | --sample N] [--instances N] [--duplicates RULE | --policy FILE]',
    words: [0],
    details: [
      'Only reads: privileges, versions, connections, disk, indexes that would delete or refuse behind the mirror, and a ' +
        'dry classification of the documents: what would be cleaned, what is bad, which fields are unknown. Names, ids and ' +
        'reasons are shown, never a value.',
      'Exit code 1 when something has to be dealt with first. Pools are counted as POSTGRES_POOL_MAX and MONGO_POOL_MAX ' +
        'say, or by their defaults.',
    ],
    options: {
      full: { value: null, description: 'Look at every document; tells shared e-mails too' },
      sample: { value: 'N', description: 'Look at so many documents of each collection; default 2000' },
      instances: { value: 'N', description: 'How many instances are to run; default 2' },
      ...DUPLICATE_OPTIONS,
    },
    ends: ['done', 'difference', 'usage', 'aborted', 'unreachable'],
    examples: [
      ['cutover preflight', 'a first look, in seconds'],
      ['cutover preflight --full --instances 4', 'every document, and the connections of four instances'],
    ],
  },
  'snapshot create': {
    summary: 'Back up both stores into a folder, each consistent in itself',
    usage: '[--dir DIR]',
    words: [0],
    details: [
      "While everything runs. PostgreSQL by pg_dump where one of the server's version or newer is on PATH or in PG_BIN, " +
        'otherwise by COPY; MongoDB as mongodump writes it, as of one moment where the server can read so. With a ' +
        'manifest and the SHA-256 of every file.',
      'It holds personal data and password hashes: the folder is closed to others, and must stay so.',
    ],
    options: DIR,
    ends: STORE_ENDS,
    examples: [
      ['cutover snapshot create --dir /var/backups/auth', 'before a merge, or a change of authority'],
    ],
  },
  'snapshot list': {
    summary: 'The snapshots in a folder',
    usage: '[--dir DIR]',
    words: [0],
    details: ['Folders of snapshots that did not end are named apart: they count for nothing.'],
    options: DIR,
    ends: ['done', 'difference', 'usage', 'refused', 'aborted'],
    withoutStores: true,
    examples: [['cutover snapshot list --json', 'for a program']],
  },
  'snapshot verify': {
    summary: 'Check every byte of a snapshot',
    usage: 'NAME [--dir DIR]',
    words: [1],
    details: ['Exit code 1 when a file is missing, changed, or not of it.'],
    options: DIR,
    ends: ['done', 'difference', 'usage', 'refused', 'aborted'],
    withoutStores: true,
    examples: [
      ['cutover snapshot verify 2026-11-23T16-00-00Z-0a1b2c', 'as `sha256sum --check SHA256SUMS` does'],
    ],
  },
  'snapshot restore': {
    summary: 'Restore one store of a snapshot into a database that nothing uses',
    usage: 'NAME --into mongo|postgres [URL] [--dir DIR] [--replace --confirm DATABASE]',
    words: [1, 2],
    details: [
      'Never into the authority of a running system, or its mirror. Without URL it is read from RESTORE_URL, or the file ' +
        'in RESTORE_URL_FILE, where others on this machine do not see its password. Production asks the same of it as of ' +
        'MONGO_URL and DATABASE_URL.',
      'The database starts fenced: an instance that finds it serves nothing, until `cutover snapshot clear`.',
    ],
    options: {
      into: { value: 'STORE', description: 'Which store of it: mongo or postgres' },
      ...DIR,
      replace: { value: null, description: 'Delete what the database holds; without it, it must be empty' },
      confirm: {
        value: 'DATABASE',
        description: 'The name of the database to replace; on a terminal it is asked for',
      },
    },
    ends: STORE_ENDS,
    examples: [
      [
        'cutover snapshot restore 2026-11-23T16-00-00Z-0a1b2c --into postgres postgres://localhost/auth_new',
        'into a new database',
      ],
    ],
  },
  'snapshot clear': {
    summary: 'Let a restored store serve, as a system of its own',
    usage: '[--store mongo|postgres]',
    words: [0],
    details: [
      'MongoDB begins in mongo-only, PostgreSQL in postgres-only, under a new epoch. It begins alone: the other URL ' +
        'must be unset, or lead to a database without a control record, to be filled by a backfill.',
      'What was ended since the snapshot lives again: sessions, used links by mail, old passwords, burnt tokens of the old ' +
        'service, erased users. `cutover sessions end` and `cutover users erase` end it, user by user.',
    ],
    options: { store: { value: 'STORE', description: 'mongo or postgres; needed when both are fenced' } },
    ends: STORE_ENDS,
    examples: [['cutover snapshot clear', 'instances that wait begin to serve']],
  },
} as const satisfies Record<string, VerbSpec>;

export type VerbName = keyof typeof VERBS;
export const VERB_NAMES = Object.keys(VERBS) as readonly VerbName[];

export const specOf = (verb: VerbName): VerbSpec => VERBS[verb];
