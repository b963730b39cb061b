/**
 * The control record's way into a store and out of it: read, decide (`protocol/changes.ts`), write under a
 * compare-and-set, and again when the race was lost.
 */
import { z } from 'zod';
import { STORES, type StoreName, StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import type { ControlEntry, Json, LeaseEntry } from '../db/replica.ts';
import { isRestored } from '../db/restored.ts';
import { type CopyState, MODES } from './mode.ts';
import { type ChangeDecision, type ControlChange, decideChange, isOneSystem } from './protocol/changes.ts';
import { RULES, type Rules } from './protocol/rules.ts';
import type { ControlRecord, LeaseRow } from './protocol/types.ts';
import { STORE_NAMES, VARIABLES } from './words.ts';

// Loose, all of it: whoever changes a record writes it back whole, with what a later version has added to it.
export const copySchema: z.ZodType<CopyState> = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('none') }),
  z.looseObject({
    kind: z.literal('stale'),
    sinceMs: z.number(),
    run: z.string().optional(),
    authorityBehind: z.literal(true).optional(),
    history: z.string().optional(),
  }),
  z.looseObject({
    kind: z.literal('complete'),
    run: z.string(),
    completedAtMs: z.number(),
    verifiedAtMs: z.number().nullable(),
    history: z.string().optional(),
  }),
]);

const controlBody = z.looseObject({
  mode: z.enum(MODES),
  transition: z
    .looseObject({
      id: z.string(),
      target: z.enum(MODES),
      phase: z.enum(['announced', 'fenced']),
      deadlineMs: z.number(),
      begunAtMs: z.number().optional(),
    })
    .nullable(),
  changedBy: z.string().nullable(),
  movedBy: z.string().optional(),
  system: z.string().optional(),
  copy: copySchema,
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  epoch: z.int().min(0),
  revision: z.int().min(0),
});

/** What a version before there were mappings has: what it reads in a document is nobody else's reading. */
export const NO_MAPPING = 'none';

/** No setting allows a longer one. */
const LEASE_MAX_MS = 600_000;

const leaseBody = z.object({
  incarnation: z.number(),
  epoch: z.number(),
  revision: z.number(),
  ack: z.object({ id: z.string(), phase: z.enum(['announced', 'stopped']) }).nullable(),
  leaseMs: z.number().min(0).max(LEASE_MAX_MS),
  facts: z
    .object({
      reaches: z.array(z.enum(STORES)),
      p99Ms: z.number().nullable().default(null),
      mapping: z.string().default(NO_MAPPING),
      host: z.string().nullable().default(null),
    })
    .optional(),
});

/** What an instance says of itself beside its lease, for gates and people; the protocol decides nothing by it. */
export interface InstanceFacts {
  /** The stores that answered it when it last asked. */
  readonly reaches: readonly StoreName[];
  /** Of its operations on the authority within the last seconds, ms; null: too few of them. */
  readonly p99Ms: number | null;
  /** Digest of the mapping it reads and writes documents by. */
  readonly mapping: string;
  /** Name of the machine, or pod, that it runs on; null: it does not say. */
  readonly host: string | null;
}

/** A row of leases as it stands in the store; without facts it was written by an older version. */
export interface LeaseReport extends LeaseRow {
  readonly facts: InstanceFacts | null;
  /** False: another version wrote it, or it is damaged. Then it says only that there may be an instance. */
  readonly isReadable: boolean;
}

/** A control record that this version cannot read: somebody else wrote it. Nothing may be guessed from it. */
export class UnreadableControl extends Error {
  override readonly name = 'UnreadableControl';
  readonly store: StoreName | null;
  /** As far as that can be told: a higher one than the record that is followed may have overruled it. */
  readonly epoch: number | null;
  constructor(
    message: string,
    store: StoreName | null,
    epoch: number | null = null,
    options: ErrorOptions = {},
  ) {
    super(message, options);
    this.store = store;
    this.epoch = epoch;
  }
}

/** Whether a store that does not tell its record does not answer at all: to refuse the question is an answer. */
export function isSilence(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.reason !== 'forbidden';
}

/** What kept a store that answers from telling its record. Of a server's own words only the code is repeated. */
export function asUnreadable(cause: unknown, store: StoreName): UnreadableControl {
  if (cause instanceof UnreadableControl) return cause;
  const own = cause instanceof StoreUnavailable ? cause.cause : cause;
  const { codeName, code } = (typeof own === 'object' && own !== null ? own : {}) as {
    readonly codeName?: unknown;
    readonly code?: unknown;
  };
  const known = String(codeName ?? code ?? '');
  const detail = /^\w{2,40}$/.test(known) ? ` (${known})` : '';
  const message = `the control record of ${STORE_NAMES[store]} cannot be read${detail}`;
  return new UnreadableControl(message, store, null, { cause });
}

/**
 * The store was restored from a snapshot, and no operator has said yet that it may serve: its control record stands in
 * for the one it had, so that whoever reads it serves nothing.
 */
export class RestoredStore extends UnreadableControl {
  constructor(store: StoreName | null, epoch: number | null = null) {
    const name = store === null ? 'a store' : STORE_NAMES[store];
    super(`${name} was restored from a snapshot and is fenced until an operator clears it`, store, epoch);
  }
}

/**
 * The stores hold records of two systems: a URL leads to another one's database. What that says of modes and epochs
 * means nothing here, and nothing of this one may be written there.
 */
export class OtherSystem extends UnreadableControl {
  /** `store`: the one whose record is not of the system that is followed; null: it cannot be told which. */
  constructor(store: StoreName | null) {
    super(
      store === null
        ? `MongoDB and PostgreSQL hold the control records of two systems: ${VARIABLES.mongo} or ${VARIABLES.postgres} leads to the wrong database`
        : `${STORE_NAMES[store]} holds the control record of another system: ${VARIABLES[store]} leads to the wrong database`,
      store,
    );
  }
}

/** Throws `OtherSystem` when these are not of one system. */
export function assertOneSystem(one: ControlRecord | null, other: ControlRecord | null): void {
  if (one !== null && other !== null && !isOneSystem(one, other)) throw new OtherSystem(null);
}

/**
 * The epoch of a fence that stands in for a control record: no apply acts under so high a one, so that the store refuses them
 * all. The fence itself says what it is to go on from.
 */
export const FENCED_EPOCH = 2_000_000_000;

/** A store that should have one is empty: it was emptied, or its URL leads elsewhere. */
export const missingControl = (store: StoreName): UnreadableControl =>
  new UnreadableControl(`${STORE_NAMES[store]} has no control record`, store);

export function toControl(entry: ControlEntry, store: StoreName | null = null): ControlRecord {
  const { epoch, revision, body } = entry;
  const known = Number.isSafeInteger(epoch) ? epoch : null;
  const isObject = typeof body === 'object' && body !== null;
  if (isRestored(entry)) throw new RestoredStore(store, epochIn(entry.body.restored) ?? known);
  const parsed = controlBody.safeParse(isObject ? { ...body, epoch, revision } : body);
  if (parsed.success) return parsed.data;
  const name = store === null ? 'a store' : STORE_NAMES[store];
  const paths = parsed.error.issues.map((issue) => issue.path.join('.')).filter((path) => path !== '');
  const where = paths.length === 0 ? 'it is no object' : `check ${paths.join(', ')}`;
  const message = `the control record of ${name} was written by another version, or is damaged: ${where}`;
  throw new UnreadableControl(message, store, known);
}

/** What a fence goes on from. */
export function epochIn(fence: unknown): number | null {
  const isObject = typeof fence === 'object' && fence !== null;
  const epoch = isObject && 'epoch' in fence ? fence.epoch : null;
  return Number.isSafeInteger(epoch) ? (epoch as number) : null;
}

export function fromControl({ epoch, revision, ...body }: ControlRecord): ControlEntry {
  return { epoch, revision, body: { ...body } as unknown as Json };
}

/** A row that cannot be read follows nothing, acknowledges nothing, and is waited out for as long as any lease can last. */
function toLease({ instance, counter, body }: LeaseEntry): LeaseReport {
  const parsed = leaseBody.safeParse(body);
  if (parsed.success) {
    const { facts = null, ...row } = parsed.data;
    return { ...row, facts, instance, counter, isReadable: true };
  }
  const row = { incarnation: 0, epoch: 0, revision: 0, ack: null, leaseMs: LEASE_MAX_MS };
  return { ...row, facts: null, instance, counter, isReadable: false };
}

export function fromLease({ instance, counter, ...body }: LeaseRow, facts: InstanceFacts): LeaseEntry {
  return { instance, counter, body: { ...body, facts } as unknown as Json };
}

/** The store's control record; null before there is one. Throws `UnreadableControl`. */
export async function readControl(store: Store): Promise<ControlRecord | null> {
  const entry = await store.books.readControl();
  return entry === null ? null : toControl(entry, store.name);
}

export async function readLeases(store: Store): Promise<readonly LeaseReport[]> {
  return (await store.books.readLeases()).map(toLease);
}

/** How often a lost race is run again: each loss is somebody's success, and few write here. */
const RACES_MAX = 50;

/**
 * Makes the change in that store, and says what came of it. `StoreUnavailable` with an unknown outcome: it may have
 * been made; asking again then answers `already`. In a store without a record only `gain` and `copy` can be made.
 * `known` is the record as last seen there: it is tried first, and read only when it has changed meanwhile.
 */
export async function changeControl(
  store: Store,
  change: ControlChange,
  rules: Rules = RULES,
  known: ControlRecord | null = null,
): Promise<ChangeDecision> {
  if (known !== null) {
    const decision = decideChange(store.name, known, change, rules);
    // Only what the compare-and-set confirms: a refusal may be about a record that is no more.
    if (
      decision.kind === 'write' &&
      (await store.books.replaceControl(known, fromControl(decision.record)))
    ) {
      return decision;
    }
  }
  for (let race = 0; race < RACES_MAX; race += 1) {
    const record = await readControl(store);
    if (record === null) {
      if (change.kind !== 'gain' && change.kind !== 'copy') {
        throw missingControl(store.name);
      }
      if (change.kind === 'copy' && change.seen !== null) {
        return { kind: 'refused', reason: 'changed', record: change.seen };
      }
      if (await store.books.createControl(fromControl(change.record))) {
        return { kind: 'write', record: change.record };
      }
      continue;
    }
    const decision = decideChange(store.name, record, change, rules);
    if (decision.kind !== 'write') return decision;
    if (await store.books.replaceControl(record, fromControl(decision.record))) return decision;
  }
  throw new StoreUnavailable(store.name, 'none', 'contention');
}
