/**
 * The conditions of each move, as a pure function of what was measured. `evidence` can be overridden by an operator
 * with a reason; `safety` never: each gate says which of the two it is.
 */
import type { StoreName, StoreUnavailable } from '../../db/errors.ts';
import { NO_MAPPING } from '../control.ts';
import { authorityOf, copyRun, type Move, otherStore } from '../mode.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import type { Settings } from '../settings.ts';
import { duration, remedyOf, STORE_NAMES, troubleOf, VARIABLES } from '../words.ts';
import { CLI, evidenceGates, soakGate, verb } from './evidence-gates.ts';
import type { Backlog, ForeignStatus, Gate, InstanceStatus, ShadowStatus } from './types.ts';

export interface StoreFacts {
  readonly configured: boolean;
  readonly reachable: boolean;
  /** Why it does not do what it is needed for although it answers, as far as it says. */
  readonly refusal?: StoreUnavailable['reason'] | null;
  /** Why it does not tell its control record although it answers. */
  readonly problem: string | null;
  /** Null: could not be asked. */
  readonly migrated: boolean | null;
  /** Its own record still claims the authority of an epoch that was overtaken by a failover. */
  readonly deposed: boolean;
}

/** What a bulk verb left. Times are of the record clock. */
export interface Evidence {
  readonly atMs: number;
  readonly clean: boolean;
  readonly run: string | null;
  /** The run whose copy it is about, as it began. By times alone, clocks of several machines would decide. */
  readonly copy: string | null;
  /** Digest of the mapping it read documents by; null: of no matter, or by a version before there were any. */
  readonly mapping: string | null;
}

export interface GateFacts {
  readonly nowMs: number;
  readonly record: ControlRecord;
  /** PostgreSQL was replaced by a server that may lack what the copy counts on, and no instance has said so yet. */
  readonly isReplaced?: boolean;
  /** A change of authority that only one of the stores has recorded. */
  readonly unfinished: boolean;
  readonly stores: PerStore<StoreFacts>;
  readonly pending: Backlog;
  readonly orphans: Backlog;
  /** Open notes; null: could not be asked. */
  readonly notes: Readonly<Record<'poison' | 'conflict' | 'quarantine', number | null>>;
  readonly foreign: ForeignStatus;
  readonly shadow: Pick<ShadowStatus, 'windowMs' | 'compared' | 'mismatches'>;
  readonly evidence: Readonly<Record<'verify' | 'snapshot' | 'backfill', Evidence | null>>;
  readonly instances: readonly InstanceStatus[];
  /** Since when the present mode; null: not known. And the latest of what spoils a soak. */
  readonly soak: {
    readonly sinceMs: number | null;
    readonly trouble: { readonly what: string; readonly atMs: number } | null;
  };
  readonly noForeignWriters: boolean;
  /** Digest of the mapping that whoever asks has. */
  readonly mapping: string;
  /** Bulk verbs that this version has. */
  readonly verbs: Readonly<Record<'backfill' | 'verify' | 'snapshot', boolean>>;
}

/** The conditions of one move, all of them, met or not. */
export function gatesFor(move: Move, facts: GateFacts, settings: Settings): readonly Gate[] {
  const other = otherStore(authorityOf(move.from));
  const always = [transitionGate(facts), instancesGate(facts)];
  const mirror = [reachableGate(other, facts), schemaGate(other, facts), mappingGate(facts)];
  if (move.changesAuthority) {
    return [
      ...always,
      ...mirror,
      reachGate(other, facts),
      copyGate(facts),
      mirrorGate(settings),
      ...drainGates(facts, settings),
      ...evidenceGates(facts, settings),
    ];
  }
  if (move.startsMirror) {
    const statement = move.to === 'dual-write' ? [foreignWritersGate(facts)] : [];
    return [...always, ...mirror, rebuiltGate(other, facts), ...statement];
  }
  if (move.to === 'shadow-read') {
    const [count, oldestMs] = [settings['gate-shadow-pending'], settings['gate-shadow-oldest-ms']];
    return [
      ...always,
      ...mirror,
      copyGate(facts),
      pendingGate(facts.pending, count, oldestMs, settings),
      ...foreignGates(facts),
    ];
  }
  return move.to === 'postgres-only' ? [...always, soakGate(facts, settings)] : always;
}

/** What stands in the way: with `force` only what nobody may override. */
export function failingGates(gates: readonly Gate[], force: boolean): readonly Gate[] {
  return gates.filter(({ ok, kind }) => !ok && !(force && kind === 'evidence'));
}

/** What running instances set right by themselves: the mirror catches up, whoever has just started asks both stores. */
const PASSING: ReadonlySet<string> = new Set(['pending', 'orphans', 'reach']);

/** Whether nothing but a moment stands in the way. */
export function mayPass(failing: readonly Gate[]): boolean {
  return failing.length > 0 && failing.every(({ name }) => PASSING.has(name));
}

function transitionGate({ record: { transition }, unfinished }: GateFacts): Gate {
  const found = unfinished
    ? 'a change of authority is half done'
    : transition === null
      ? 'none'
      : `one to ${transition.target}, ${transition.phase}`;
  return {
    name: 'transition',
    ok: transition === null && !unfinished,
    found,
    required: 'no other change of authority under way',
    remedy: unfinished
      ? `any instance finishes it, and so does the next ${CLI} promote or rollback`
      : `wait for it, or ${CLI} abort`,
    kind: 'safety',
  };
}

/** As people find it. */
function nameOf({ instance, host }: InstanceStatus): string {
  return host === null ? instance : `${instance} on ${host}`;
}

function instancesGate({ instances }: GateFacts): Gate {
  const count = (state: InstanceStatus['state']) => instances.filter((each) => each.state === state).length;
  const behind = instances
    .filter(({ state }) => state === 'behind')
    .map((each) => (each.isReadable ? nameOf(each) : `${nameOf(each)} (of another version)`));
  return {
    name: 'instances',
    ok: behind.length === 0,
    found: `${count('current')} current, ${count('behind')} behind, ${count('silent')} silent`,
    required: 'every live instance at the present revision; silent ones are waited out',
    remedy: behind.length === 0 ? 'none' : `wait for, or restart: ${behind.join(', ')}`,
    kind: 'safety',
  };
}

function reachableGate(name: StoreName, { stores }: GateFacts): Gate {
  const { configured, reachable, problem, refusal = null } = stores[name];
  const variable = VARIABLES[name];
  const trouble = refusal === null ? 'does not answer' : troubleOf(refusal);
  return {
    name: 'reachable',
    ok: configured && reachable && problem === null,
    found: !configured ? 'not configured' : (problem ?? (reachable ? 'answers' : trouble)),
    required: `${STORE_NAMES[name]} answers, can be written, and tells its control record`,
    remedy:
      problem === null
        ? refusal === null
          ? `set ${variable}, and see that the server runs`
          : remedyOf(name, refusal)
        : `use the version that wrote it, or let ${variable} lead to an empty database`,
    kind: 'safety',
  };
}

/**
 * Documents mean what the mapping says: two of them at work, or a copy made by another, would be different records under
 * one stamp. A copy that is not complete is made anew anyway, and one that a verify by this mapping found to be clean is as if
 * this mapping had made it.
 */
function mappingGate({ mapping, instances, evidence, record }: GateFacts): Gate {
  const alive = instances.filter(({ state }) => state !== 'silent');
  const others = alive
    .filter((each) => each.mapping !== mapping)
    .map((each) => `${nameOf(each)} has ${each.mapping}`);
  const { verify } = evidence;
  const copy = copyRun(record.copy);
  const isProven = verify?.clean === true && verify.copy === copy && verify.mapping === mapping;
  const older =
    copy === null || isProven
      ? []
      : (['backfill', 'verify'] as const).filter(
          (name) => evidence[name] !== null && evidence[name].mapping !== mapping,
        );
  const had = older.map((name) => `the last ${name} had ${evidence[name]?.mapping ?? NO_MAPPING}`);
  const found = [...others, ...had];
  return {
    name: 'mapping',
    ok: found.length === 0,
    found: found.length === 0 ? `${mapping} everywhere` : found.join(', '),
    required: `every live instance by the mapping of this command, ${mapping}, and a copy that was made, or found clean, by it`,
    remedy:
      others.length > 0
        ? 'give all the same version, and the same file: MONGO_MAPPING_FILE, and --mapping here'
        : older.length > 0
          ? `with this mapping: ${CLI} verify --full; if it finds differences, ${CLI} repair, then once more`
          : 'none',
    kind: 'safety',
  };
}

/** An instance that cannot ask the store that takes over would answer nothing from the flip on. */
function reachGate(name: StoreName, { instances }: GateFacts): Gate {
  const alive = instances.filter(({ state }) => state !== 'silent');
  const cutOff = alive.filter(({ reaches }) => reaches?.includes(name) !== true);
  const names = cutOff.map(nameOf).join(', ');
  return {
    name: 'reach',
    ok: cutOff.length === 0,
    found: `${alive.length - cutOff.length} of ${alive.length} live instances reach ${STORE_NAMES[name]}`,
    required: `every live instance reaches ${STORE_NAMES[name]}, which is to answer its clients`,
    remedy: cutOff.length === 0 ? 'none' : `see to ${VARIABLES[name]} and the network of, or stop: ${names}`,
    kind: 'safety',
  };
}

function schemaGate(name: StoreName, { stores }: GateFacts): Gate {
  const { migrated } = stores[name];
  return {
    name: 'schema',
    ok: migrated === true,
    found: migrated === null ? 'not known' : migrated ? 'current' : 'behind',
    required: `${STORE_NAMES[name]}'s schema and indexes are current`,
    remedy: 'npm run migrate',
    kind: 'safety',
  };
}

function rebuiltGate(name: StoreName, { stores }: GateFacts): Gate {
  const { deposed } = stores[name];
  return {
    name: 'rebuilt',
    ok: !deposed,
    found: deposed ? 'it holds what was lost by a failover' : 'no former authority',
    required: `${STORE_NAMES[name]} has been rebuilt if a failover took its authority`,
    remedy: 'put its database away, create an empty one, npm run migrate',
    kind: 'safety',
  };
}

function foreignWritersGate({ noForeignWriters }: GateFacts): Gate {
  return {
    name: 'foreign-writers',
    ok: noForeignWriters,
    found: noForeignWriters ? 'stated' : 'not stated',
    required: 'the statement that nothing but this service writes to MongoDB',
    remedy: 'stop the old service and its scripts, then add --no-foreign-writers',
    kind: 'safety',
  };
}

function copyGate({ record: { copy, mode }, verbs, isReplaced = false }: GateFacts): Gate {
  const from = authorityOf(mode) === 'postgres' ? ' --from postgres' : '';
  const what = authorityOf(mode) === 'postgres' ? 'a reverse backfill' : 'a backfill';
  return {
    name: 'copy',
    ok: copy.kind === 'complete' && !isReplaced,
    found: isReplaced
      ? 'PostgreSQL was replaced by a server on another history, which may lack what was written last'
      : copy.kind === 'complete'
        ? `complete, by ${copy.run}`
        : copy.kind,
    required: 'a complete copy',
    remedy: `${what}: ${verb(`backfill${from}`, verbs.backfill)}`,
    kind: 'safety',
  };
}

/** What it left undone would be waited for behind the fence, in vain. */
function mirrorGate(settings: Settings): Gate {
  const isPaused = settings['mirror-paused'];
  return {
    name: 'mirror',
    ok: !isPaused,
    found: isPaused ? 'paused by mirror-paused' : 'runs',
    required: 'it is not paused',
    remedy: `${CLI} set mirror-paused false`,
    kind: 'safety',
  };
}

function pendingGate(pending: Backlog, countMax: number, oldestMaxMs: number, settings: Settings): Gate {
  const { count, oldestAgeMs } = pending;
  return {
    name: 'pending',
    // A bound of 0 asks for none at all.
    ok: count === 0 || (count !== null && count < countMax && (oldestAgeMs ?? 0) < oldestMaxMs),
    found: `${backlogInWords(pending)} pending`.replace(/^(\d+),(.*) pending$/, '$1 pending,$2'),
    required: `fewer than ${countMax}, none for ${duration(oldestMaxMs)} or longer`,
    remedy: settings['mirror-paused']
      ? mirrorGate(settings).remedy
      : `let the mirror catch up; ${CLI} pending lists them`,
    kind: 'safety',
  };
}

function backlogInWords({ count, oldestAgeMs }: Backlog): string {
  if (count === null) return 'not known';
  return oldestAgeMs === null ? `${count}` : `${count}, the oldest for ${duration(oldestAgeMs)}`;
}

function drainGates(facts: GateFacts, settings: Settings): readonly Gate[] {
  const { orphans, notes } = facts;
  const none = (name: string, count: number | null, what: string, remedy: string): Gate => ({
    name,
    ok: count === 0,
    found: count === null ? 'not known' : `${count} ${what}`,
    required: 'none',
    remedy,
    kind: 'safety',
  });
  return [
    pendingGate(
      facts.pending,
      settings['gate-primary-pending'],
      settings['gate-primary-oldest-ms'],
      settings,
    ),
    none('orphans', orphans.count, 'marked in the mirror', 'the instances resolve them: see that one runs'),
    none(
      'poison',
      notes.poison,
      'refused by the mirror',
      `${CLI} pending names them: repair them, or ${CLI} users erase; another record is mended or deleted where it is`,
    ),
    none(
      'conflicts',
      notes.conflict,
      'in conflict',
      `${CLI} conflicts names them; ${CLI} help conflicts says what ends one`,
    ),
    none(
      'quarantine',
      notes.quarantine,
      'in quarantine',
      `${CLI} quarantine list, then retry, accept or drop each`,
    ),
    ...foreignGates(facts),
  ];
}

/** What others wrote, and whether anybody would have seen it. Where nothing can be watched, verify has the word. */
function foreignGates({ foreign, nowMs }: GateFacts): readonly Gate[] {
  const { open, watch, unwatchedSinceMs, why } = foreign;
  const sight = { watching: 'watched', unsupported: 'not watched here', none: 'not watched yet' };
  const ago = unwatchedSinceMs === null ? null : duration(Math.max(0, nowMs - unwatchedSinceMs));
  return [
    {
      name: 'foreign-writes',
      ok: open === 0,
      found: open === null ? 'not known' : `${open} written by others`,
      required: 'none that has not been picked up',
      remedy: `stop who writes, then ${CLI} repair`,
      kind: 'safety',
    },
    {
      name: 'foreign-watch',
      ok: watch !== 'unknown' && unwatchedSinceMs === null,
      found:
        watch === 'unknown'
          ? 'not known'
          : ago === null
            ? `${sight[watch]}${why === null ? '' : `: ${why}`}`
            : `not watched since ${ago} ago: ${why ?? 'no instance watches'}`,
      required: 'writes by others would have been seen, or a clean verify that began later',
      remedy: `${CLI} verify --full, with an instance running`,
      kind: 'evidence',
    },
  ];
}
