/**
 * What `--json` prints, one schema for each verb: docs/cutover-json.md is made from these, and a test holds real output
 * against them. Fields are only ever added. Times are milliseconds; moments are ISO 8601 in UTC.
 */
import { z } from 'zod';
import { STORES } from '../../db/errors.ts';
import { ENTITIES } from '../../db/records.ts';
import type { CopyCounts, Progress } from '../copy/types.ts';
import { type CopyState, MODES } from '../mode.ts';
import type * as operator from '../operator/types.ts';
import type { Transition } from '../protocol/types.ts';
import { DEFAULT_SETTINGS, SETTINGS } from '../settings.ts';
import { EXIT_CODES, OUTCOMES } from './exit-codes.ts';
import { VERB_NAMES, type VerbName } from './verbs.ts';

const count = z.int().min(0);
const ms = z.number();
const moment = z.iso.datetime();
const mode = z.enum(MODES);
const store = z.enum(STORES);
const json = z.json();
const setting = z.union([z.string(), z.number(), z.boolean()]);
const reasons = z.array(z.string()).describe('Sentences for people');

const history = z.string().optional().describe('The history of PostgreSQL that it counts on');
// As it is recorded: a later version may have added to it.
const copy: z.ZodType<CopyState> = z
  .discriminatedUnion('kind', [
    z.looseObject({ kind: z.literal('none') }),
    z.looseObject({
      kind: z.literal('stale'),
      sinceMs: ms,
      run: z.string().optional().describe('The backfill that has set out to complete it'),
      authorityBehind: z
        .literal(true)
        .optional()
        .describe('PostgreSQL has authority, and may lack what MongoDB has: it was replaced'),
      history,
    }),
    z.looseObject({
      kind: z.literal('complete'),
      run: z.string(),
      completedAtMs: ms,
      verifiedAtMs: ms.nullable(),
      history,
    }),
  ])
  .describe('How much of the authority the other store holds');

const transition: z.ZodType<Transition> = z
  .looseObject({
    id: z.string(),
    target: mode,
    phase: z.enum(['announced', 'fenced']),
    deadlineMs: ms,
    begunAtMs: ms.optional(),
  })
  .describe('A change of authority on its way');

const backlog = z
  .strictObject({ count: count.nullable(), oldestAgeMs: ms.nullable() })
  .describe('Null: the store could not be asked, or nothing waits');

const gate = z
  .strictObject({
    name: z.string(),
    ok: z.boolean(),
    found: z.string(),
    required: z.string(),
    remedy: z.string(),
    kind: z.enum(['evidence', 'safety']).describe('--force overrides evidence, never safety'),
  })
  .describe('One condition of a move') satisfies z.ZodType<operator.Gate>;

const summary = z
  .strictObject({
    mode,
    epoch: count,
    revision: count,
    authority: store,
    copy,
    transition: transition.nullable(),
    pending: backlog,
  })
  .describe('The state of the system') satisfies z.ZodType<operator.Summary>;

const kindOfSetting = (fallback: string | number | boolean): z.ZodType =>
  typeof fallback === 'number' ? z.number() : typeof fallback === 'boolean' ? z.boolean() : z.string();

const settings = z.strictObject(
  Object.fromEntries(
    Object.entries(SETTINGS).map(([key, { fallback, description }]) => [
      key,
      kindOfSetting(fallback).describe(description),
    ]),
  ),
);

const status = {
  mode,
  configuredMode: mode.nullable().describe('BACKEND_MODE, which counts for a new system only'),
  storeTimeoutMs: ms
    .nullable()
    .describe(
      'STORE_TIMEOUT of this command, for a connection and for a statement; instances have their own',
    ),
  epoch: count,
  revision: count,
  authority: store,
  mirror: store.nullable(),
  transition: transition.nullable(),
  copy,
  stores: z.array(
    z.strictObject({
      name: store,
      configured: z.boolean(),
      reachable: z.boolean(),
      role: z.enum(['authority', 'mirror', 'unused', 'unknown']),
      server: z.string().nullable(),
      control: z.strictObject({ mode, epoch: count, revision: count }).nullable(),
      problem: z.string().nullable().describe('Why it does not tell its control record although it answers'),
    }),
  ),
  instances: z.array(
    z.strictObject({
      instance: z.string(),
      host: z.string().nullable().describe('The machine, or pod, that it runs on, if it says'),
      epoch: count,
      revision: count,
      incarnation: count,
      counter: count,
      state: z.enum(['current', 'behind', 'silent']),
      leaseMs: ms,
      acknowledged: z.string().nullable(),
      reaches: z.array(z.enum(STORES)).nullable().describe('The stores that answered it when it last asked'),
      p99Ms: ms.nullable().describe('Of its operations on the authority in the last seconds; null: too few'),
      mapping: z.string().describe('Digest of the mapping it reads and writes documents by'),
      isReadable: z.boolean().describe('False: its row is of another version, and tells nothing'),
    }),
  ),
  pending: backlog,
  orphans: backlog.describe('Marks in the store that is not the authority'),
  poisoned: count.nullable(),
  conflicts: count.nullable(),
  differences: count.nullable(),
  foreign: z.strictObject({
    open: count.nullable().describe('Writes that no instance made, not picked up yet'),
    watch: z.enum(['watching', 'unsupported', 'none', 'unknown']),
    unwatchedSinceMs: ms.nullable().describe('Since when such writes may have gone unseen'),
    why: z.string().nullable(),
  }),
  shadow: z.strictObject({
    windowMs: ms,
    outcomes: z.record(z.string(), count),
    compared: count,
    mismatches: count,
  }),
  next: z.array(
    z.strictObject({
      direction: z.enum(['promote', 'rollback']),
      to: mode,
      gates: z.array(gate),
      allowed: z.boolean(),
    }),
  ),
  rollback: z.strictObject({ to: mode.nullable(), lossless: z.boolean(), why: z.string() }),
  settings,
  ignoredSettings: z
    .array(z.string())
    .describe('Keys in the record that this version does not know or take: the defaults count there'),
};

const pendingList = z.strictObject({
  store,
  count,
  oldestAgeMs: ms.nullable(),
  records: z.array(
    z.strictObject({
      entity: z.string(),
      id: z.string(),
      stamp: z.strictObject({ epoch: count, version: count }),
      ageMs: ms,
    }),
  ),
});

const note = z
  .strictObject({
    key: z.string(),
    body: json,
    firstAt: moment,
    lastAt: moment,
    times: count,
  })
  .describe('Kept about a record; never holds a value of it');

const actionFields = { before: summary, after: summary, reasons };

const plan = {
  from: mode.nullable().describe('Null with `to`: there is no such way'),
  to: mode.nullable(),
  steps: z.array(z.string()).describe('The whole way in order'),
  moves: z.array(
    z.strictObject({ from: mode, to: mode, changesAuthority: z.boolean(), gates: z.array(gate) }),
  ),
  allowed: z.boolean().describe('Whether the first move would be made now'),
  reasons,
};

const moved = {
  before: summary,
  after: summary.nullable(),
  to: mode.nullable(),
  made: z.array(z.strictObject({ from: mode, to: mode })),
  longestPauseMs: ms.nullable(),
  attempts: count,
  failing: z.array(gate).describe('What refused it'),
  overridden: z.array(gate).describe('What --force passed over'),
  reasons,
};

const interrupted = {
  interrupted: z.literal(true),
  after: summary.nullable(),
  reasons,
};

const badDocuments = z
  .array(
    z.strictObject({
      collection: z.string(),
      id: z.string(),
      field: z.string(),
      reason: z.string(),
      detail: json.describe('Names and ids that belong to it; never a value'),
    }),
  )
  .describe('The first hundred thousand; docs/cleaning.md explains the reasons');

const difference = z.strictObject({
  collection: z.string(),
  id: z.string(),
  kind: z.enum(['missing-in-mirror', 'only-in-mirror', 'differs', 'unreadable']),
  fields: z.array(z.string()).describe('Names of the fields that differ; never a value'),
});

const recordName = { collection: z.string(), id: z.string() };

const backfillRun = {
  run: z.string(),
  state: z.string(),
  from: store,
  onBad: z.enum(['rollback', 'quarantine']),
  dryRun: z.boolean(),
  startedAt: moment,
  updatedAt: moment,
};

const copyCounts = z.strictObject({
  read: count,
  staged: count,
  expired: count.describe('Past retention: not copied'),
  bad: count,
  quarantined: count,
  inserted: count,
  updated: count,
  removed: count.describe('Not held by the authority any more: taken out'),
  deferred: count.describe('Left to the mirror'),
  dangling: count.describe('Sessions without a user: not copied'),
}) satisfies z.ZodType<CopyCounts>;

const tallies = z.record(z.string(), count);

/** One line of standard error, of verbs that copy or compare, where it is no terminal or with `--json`. */
const progress = z
  .strictObject({
    run: z.string(),
    phase: z.enum(['waiting', 'copying', 'checking', 'merging', 'undoing', 'verifying', 'repairing']),
    documents: count,
    total: count.nullable().describe('An estimate'),
    perSecond: count,
    leftMs: ms.nullable(),
    held: z
      .union([
        z.strictObject({ reason: z.literal('paused') }),
        z.strictObject({ reason: z.enum(['slowed', 'over']), p99Ms: ms, boundMs: ms, rate: count }),
      ])
      .nullable()
      .describe("Why it is slower than it could be: a pause, or the service's p99 on the authority"),
  })
  .describe('How far a copy or a comparison is: lines of standard error') satisfies z.ZodType<Progress>;

const envelope = <V extends VerbName>(...verbs: [V, ...V[]]) => ({
  verb: z.enum(verbs),
  outcome: z.enum(OUTCOMES),
  exitCode: z.literal(OUTCOMES.map((outcome) => EXIT_CODES[outcome])),
});

const move = envelope('promote', 'rollback');

/** What each verb prints, and under what name the documentation shows it. */
export const OUTPUTS = {
  status: z.strictObject({ ...envelope('status'), ...status }),
  plan: z.strictObject({ ...move, dryRun: z.literal(true), ...plan }),
  move: z.strictObject({ ...move, dryRun: z.literal(false), ...moved }),
  interruptedMove: z.strictObject({ ...move, dryRun: z.literal(false), ...interrupted }),
  abort: z.strictObject({
    ...envelope('abort'),
    ...actionFields,
    longestPauseMs: ms
      .nullable()
      .describe('At most: since the attempt began. Null: no fence was closed, or it is not known'),
  }),
  pending: z.strictObject({
    ...envelope('pending'),
    authority: pendingList,
    orphans: pendingList.nullable().describe('Marks in the other store'),
    poisoned: z.array(note).describe('Records that the mirror refuses'),
  }),
  conflicts: z.strictObject({ ...envelope('conflicts'), conflicts: z.array(note) }),
  diffs: z.strictObject({ ...envelope('diffs'), differences: z.array(note) }),
  foreign: z.strictObject({ ...envelope('foreign'), writes: z.array(note) }),
  log: z.strictObject({
    ...envelope('log'),
    events: z.array(
      z.strictObject({
        at: moment,
        id: z.string(),
        kind: z.string(),
        mode,
        epoch: count,
        revision: count,
        details: z.record(z.string(), z.union([setting, z.null()])),
      }),
    ),
  }),
  settings: z.strictObject({
    ...envelope('set'),
    settings: z.array(
      z.strictObject({
        key: z.string(),
        value: setting,
        default: setting,
        changed: z.boolean(),
        description: z.string(),
      }),
    ),
  }),
  set: z.strictObject({
    ...envelope('set'),
    ...actionFields,
    key: z.string(),
    was: setting.nullable(),
    is: setting.nullable(),
  }),
  failover: z.strictObject({
    ...envelope('failover'),
    before: summary.nullable(),
    after: summary.nullable(),
    longestPauseMs: ms.nullable().describe('From the beginning of the verb until MongoDB had authority'),
    reasons,
    loss: z.array(z.string()).describe('What can be known of the loss'),
  }),
  userAction: z.strictObject({
    ...envelope('sessions end', 'users erase'),
    user: z.string(),
    result: z.enum(['done', 'gone', 'refused', 'unknown']),
    leftoversRemoved: count.optional().describe('Of `users erase`: copies elsewhere that went too'),
    before: summary,
    after: summary.nullable().describe('Null: the authority could not be asked any more'),
    reasons,
  }),
  backfill: z.strictObject({
    ...envelope('backfill', 'backfill resume'),
    run: z.string(),
    from: store,
    to: store,
    result: z.enum(['complete', 'rolled-back', 'dry-run']),
    counts: copyCounts,
    cleaned: tallies.describe('By what was cleaned: `user.email: white-space`'),
    unknownFields: tallies.describe('Fields that no record has; they stay in MongoDB'),
    bad: badDocuments,
    snapshot: z.string().nullable().describe('Taken before the merge'),
    tookMs: ms,
  }),
  backfills: z.strictObject({
    ...envelope('backfill list'),
    runs: z.array(z.strictObject(backfillRun)),
  }),
  backfillRun: z.strictObject({
    ...envelope('backfill show'),
    ...backfillRun,
    ranges: z.strictObject({ done: count, open: count }),
    counts: tallies,
    undoable: count.describe('Writes that a rollback would take back'),
    bad: badDocuments,
  }),
  backfillUndone: z.strictObject({
    ...envelope('backfill rollback'),
    run: z.string(),
    removed: count,
    restored: count,
    spared: count.describe('Written since, or referred to by what was'),
    unrestorable: count.describe(
      'Documents that no driver can write as they were; left as the run wrote them',
    ),
  }),
  verify: z.strictObject({
    ...envelope('verify'),
    run: z.string(),
    authority: store,
    clean: z.boolean(),
    compared: count,
    differing: count,
    lagging: count,
    excused: count,
    differences: z.array(difference).describe('The first thousand'),
    tookMs: ms,
  }),
  repair: z.strictObject({
    ...envelope('repair'),
    dryRun: z.boolean(),
    run: z.string().nullable().describe('The verify whose findings these are; null: only foreign writes'),
    found: count.describe('Of what was found, this still differed'),
    touched: count,
    movedAside: count,
    unrepairable: z.array(difference),
  }),
  quarantine: z.strictObject({
    ...envelope('quarantine list'),
    documents: z.array(
      z.strictObject({
        ...recordName,
        run: z.string(),
        reasons: z.array(z.strictObject({ field: z.string(), reason: z.string() })),
        putAt: moment,
      }),
    ),
  }),
  quarantineRetried: z.strictObject({
    ...envelope('quarantine retry'),
    moved: z.array(z.strictObject(recordName)),
    gone: z.array(z.strictObject(recordName)).describe('Not in MongoDB any more'),
    stillBad: z.array(z.strictObject({ ...recordName, fields: z.array(z.string()) })),
  }),
  quarantineResolved: z.strictObject({
    ...envelope('quarantine accept', 'quarantine drop'),
    ...recordName,
    reason: z.string(),
  }),
  worker: z.strictObject(envelope('worker')),
  preflight: z.strictObject({
    ...envelope('preflight'),
    sample: count.nullable().describe('Documents of each collection that were looked at, at most; null: all'),
    checks: z.array(
      z.strictObject({
        name: z.string(),
        store,
        level: z.enum(['ok', 'warn', 'block']).describe('`block`: to be dealt with first'),
        found: z.string(),
        remedy: z.string().nullable(),
      }),
    ),
    documents: z.array(
      z.strictObject({
        entity: z.enum(ENTITIES),
        collection: z.string(),
        total: count,
        read: count,
        expired: count,
        bad: count,
        leftBehind: count.describe('Bad, but accepted or dropped: in nobody’s way'),
        mailboxIds: count.describe('Whose _id is an e-mail address, which is then shown wherever an id is'),
        cleaned: z.record(z.string(), count),
        unknownFields: z.record(z.string(), count),
        examples: z.array(z.strictObject({ id: z.string(), field: z.string(), reason: z.string() })),
        duplicates: count
          .nullable()
          .describe('Users that share an e-mail with another; null: not all were read'),
        undecided: count
          .nullable()
          .describe('Of users that share one, those that no policy decides about; null: not all were read'),
      }),
    ),
    estimate: z
      .strictObject({
        documents: count,
        perSecond: count.nullable(),
        durationMs: ms.nullable(),
        copyMs: z
          .strictObject({ least: ms, most: ms })
          .nullable()
          .describe('Of the whole copy, by the share that reading and cleaning have of one; an estimate'),
      })
      .describe('Of reading and cleaning; null: too few to tell'),
    blocking: count,
  }),
  snapshotCreated: z.strictObject({
    ...envelope('snapshot create'),
    name: z.string(),
    path: z.string(),
    system: z
      .strictObject({
        mode: z.string(),
        epoch: count,
        revision: count,
        authority: store,
        copy: z.string(),
        pending: count.nullable(),
        transition: z.string().nullable(),
      })
      .nullable()
      .describe('Null: no system had been started'),
    bytes: count,
    files: count,
    stores: z.strictObject({
      mongo: z
        .strictObject({
          at: moment,
          consistent: z.boolean().describe('Whether all collections are as of one moment'),
          inconsistentBecause: z.string().nullable(),
          pending: count,
          documents: count,
          leftOut: z.array(z.string()),
        })
        .nullable(),
      postgres: z
        .strictObject({
          at: moment,
          method: z.enum(['pg_dump', 'copy']),
          tool: z.string().nullable(),
          pending: count,
        })
        .nullable(),
    }),
  }),
  snapshots: z.strictObject({
    ...envelope('snapshot list'),
    dir: z.string(),
    snapshots: z.array(
      z.strictObject({
        name: z.string(),
        createdAt: moment.nullable(),
        mode: z.string().nullable(),
        epoch: count.nullable(),
        revision: count.nullable(),
        pending: count.nullable(),
        stores: z.array(store),
        bytes: count,
      }),
    ),
    unfinished: z.array(z.string()).describe('Folders of snapshots that did not end'),
  }),
  snapshotVerified: z.strictObject({
    ...envelope('snapshot verify'),
    name: z.string(),
    files: count,
    bytes: count,
    problems: z.array(
      z.strictObject({
        path: z.string(),
        problem: z.enum(['missing', 'changed', 'unexpected', 'unreadable']),
      }),
    ),
  }),
  snapshotRestored: z.strictObject({
    ...envelope('snapshot restore'),
    name: z.string(),
    into: store,
    database: z.string(),
    records: count.nullable().describe('Null: pg_restore does not say'),
    altered: count.describe('Documents that could not be written with the very bytes they had'),
  }),
  snapshotCleared: z.strictObject({
    ...envelope('snapshot clear'),
    store,
    snapshot: z.string(),
    mode: z.string(),
    epoch: count,
  }),
  failure: z.strictObject({
    verb: z.enum(VERB_NAMES as [VerbName, ...VerbName[]]).nullable(),
    outcome: z.enum(OUTCOMES),
    exitCode: z.literal(OUTCOMES.map((outcome) => EXIT_CODES[outcome])),
    error: z.strictObject({
      message: z.string(),
      store: store.nullable(),
      remedy: z.string().nullable(),
    }),
  }),
};

/** Names of what the JSON Schema shares. */
export const PARTS = {
  json,
  mode,
  copy,
  transition,
  backlog,
  gate,
  summary,
  settingValues: settings,
  note,
  pendingList,
  progress,
};

export type OutputName = keyof typeof OUTPUTS;
type Frozen<T> = T extends readonly (infer I)[]
  ? readonly Frozen<I>[]
  : T extends object
    ? { readonly [K in keyof T]: Frozen<T[K]> }
    : T;
export type Output = { readonly [N in OutputName]: Frozen<z.input<(typeof OUTPUTS)[N]>> };

/** Every setting as a row, from the values that are in force. */
export function settingRows(values: operator.Status['settings']): Output['settings']['settings'] {
  return Object.entries(SETTINGS).map(([key, { description }]) => {
    const name = key as keyof typeof DEFAULT_SETTINGS;
    const fallback = DEFAULT_SETTINGS[name];
    return { key, value: values[name], default: fallback, changed: values[name] !== fallback, description };
  });
}
