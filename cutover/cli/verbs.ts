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
      'Go on although gates of evidence fail (comparisons, mismatches, soak, age of verify and snapshot); recorded',
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
  'A move that starts the mirror needs the statement --no-foreign-writers: other writers (the old service, scripts, a ' +
    'shell) leave no marks, and what they write would be missing in the other store. On a terminal it is asked for.',
  'Ctrl-C tries to take the attempt back, and says what state it left.',
] as const;

const LIMIT = { limit: { value: 'N', description: 'Show at most so many; default 50' } } as const;

const DIR = {
  dir: { value: 'DIR', description: 'The folder of all snapshots; default .data/snapshots' },
} as const;

const MOVE_ENDS: readonly Outcome[] = ['done', 'difference', 'usage', 'refused', 'aborted', 'unreachable'];
const LIST_ENDS: readonly Outcome[] = ['done', 'difference', 'usage', 'refused', 'unreachable'];
const ACTION_ENDS: readonly Outcome[] = ['done', 'difference', 'usage', 'refused', 'unreachable'];

export const VERBS = {
  status: {
    summary: 'Show mode, stores, instances, backlog, and what the next step needs',
    usage: '[--watch]',
    words: [0],
    details: ['Reads only. It asks the stores, not the instances, and works when none of them runs.'],
    options: {
      watch: { value: null, description: 'Again every second until Ctrl-C; with --json one object a line' },
    },
    ends: ['done', 'difference', 'usage', 'refused', 'unreachable'],
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
    ends: MOVE_ENDS,
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
    ends: MOVE_ENDS,
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
    ends: ACTION_ENDS,
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
    ends: LIST_ENDS,
    examples: [['cutover pending --limit 10', 'the ten longest pending']],
  },
  conflicts: {
    summary: 'Clashes over a unique key that the mirror met',
    usage: '[--limit N]',
    words: [0],
    details: ['Exit code 1 when there is one.'],
    options: LIMIT,
    ends: LIST_ENDS,
    examples: [['cutover conflicts --json', 'for a program']],
  },
  diffs: {
    summary: 'Differences that comparisons of reads have found',
    usage: '[--limit N]',
    words: [0],
    details: ['Exit code 1 when there is one. Values are never shown, only their keyed digests.'],
    options: LIMIT,
    ends: LIST_ENDS,
    examples: [['cutover diffs', 'entity, id and field of each']],
  },
  log: {
    summary: 'The event log: moves, refusals, overrides, settings; the newest first',
    usage: '[--limit N]',
    words: [0],
    details: ['It is only ever added to.'],
    options: LIMIT,
    ends: ['done', 'difference', 'usage', 'refused', 'unreachable'],
    examples: [['cutover log --limit 5', 'the last five events']],
  },
  set: {
    summary: 'Change a setting while everything runs; without arguments: list all',
    usage: '[KEY VALUE]',
    words: [0, 2],
    details: ['Settings live in the control record; every instance follows within one poll.'],
    options: {},
    ends: ACTION_ENDS,
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
    ends: ACTION_ENDS,
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
    details: ['Written in the store that has authority. Final: no later use of these sessions succeeds.'],
    options: { user: { value: 'ID', description: 'The id of the user' } },
    ends: ACTION_ENDS,
    examples: [['cutover sessions end --user 64f0c0ffee0123456789abcd', 'the user has to log in again']],
  },
  'users erase': {
    summary: 'Erase a user: personal data goes, a stamped tombstone stays',
    usage: '--user ID',
    words: [0],
    details: ['Written in the store that has authority, and ends the sessions too. It cannot be undone.'],
    options: { user: { value: 'ID', description: 'The id of the user' } },
    ends: ACTION_ENDS,
    examples: [['cutover users erase --user 64f0c0ffee0123456789abcd', 'the e-mail is free again']],
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
    ends: ['done', 'difference', 'usage', 'refused', 'aborted', 'unreachable'],
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
    ends: ['done', 'difference', 'usage'],
    withoutStores: true,
    examples: [['cutover snapshot list --json', 'for a program']],
  },
  'snapshot verify': {
    summary: 'Check every byte of a snapshot',
    usage: 'NAME [--dir DIR]',
    words: [1],
    details: ['Exit code 1 when a file is missing, changed, or not of it.'],
    options: DIR,
    ends: ['done', 'difference', 'usage', 'refused'],
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
      'Never into the authority of a running system, or its mirror. Without URL it is read from RESTORE_URL, where ' +
        'others on this machine do not see its password.',
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
    ends: ['done', 'difference', 'usage', 'refused', 'aborted', 'unreachable'],
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
    ],
    options: { store: { value: 'STORE', description: 'mongo or postgres; needed when both are fenced' } },
    ends: ACTION_ENDS,
    examples: [['cutover snapshot clear', 'instances that wait begin to serve']],
  },
} as const satisfies Record<string, VerbSpec>;

export type VerbName = keyof typeof VERBS;
export const VERB_NAMES = Object.keys(VERBS) as readonly VerbName[];

export const specOf = (verb: VerbName): VerbSpec => VERBS[verb];
