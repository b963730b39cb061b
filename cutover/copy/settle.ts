/**
 * Whether two records really differ. Live traffic makes them differ for moments: so the authority is asked before and
 * after the mirror, and again later, until the record stands still. Unmarked and unmoved means that the mirror was to
 * have exactly that.
 */

import { hash } from 'node:crypto';
import { type Codec, type Doc, markOf } from '../../db/canonical.ts';
import type { StoreName } from '../../db/errors.ts';
import { decodeIds } from '../../db/ids.ts';
import { isNameless } from '../../db/mongo/copy/raw-document.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import {
  asPutAside,
  type BadDocument,
  type Original,
  type Quarantined,
} from '../../db/postgres/copy/findings.ts';
import { rowsById } from '../../db/postgres/copy/fingerprint.ts';
import { misfitOf } from '../../db/postgres/copy/rows.ts';
import type { Entity } from '../../db/records.ts';
import { otherStore } from '../mode.ts';
import { differingFields, expiryIn, ownerIn, textOf } from './fingerprint.ts';
import { originalOf } from './originals.ts';
import type { CopyScope, RecordName } from './types.ts';

export type Difference = {
  readonly entity: Entity;
  readonly id: string;
  readonly kind: 'missing-in-mirror' | 'only-in-mirror' | 'differs' | 'unreadable';
  /** Names of the fields that differ; the stamp is `epoch` and `version`. */
  readonly fields: readonly string[];
};

export interface Settled {
  readonly differences: readonly Difference[];
  /** Still being mirrored, or written all the time. */
  readonly lagging: readonly string[];
  /** Those of them that nobody has written meanwhile: whoever is to mirror them does not. */
  readonly stuck: number;
  /** Past retention, put aside by a copy, or a session without a user: not meant to be alike. */
  readonly excused: number;
}

type State = { readonly text: string; readonly isMarked: boolean } | 'absent' | 'unreadable';

const WAITS_MS = [250, 1_000, 3_000];
const FURTHER_MS = 3_000;
const BATCH = 200;

/** With what nobody has written meanwhile, and is still to be mirrored after the usual looks. */
export interface Patience {
  /** How much longer that may take. Shared by all that are waited for: each wait takes from it. */
  leftMs: number;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** All are waited for together. */
export async function settle(
  scope: CopyScope,
  authority: StoreName,
  entity: Entity,
  ids: readonly string[],
  patience: Patience = { leftMs: 0 },
): Promise<Settled> {
  const nameless = ids.filter(isNameless);
  const sum = await settleNameless(scope, entity, nameless);
  const named = nameless.length === 0 ? ids : ids.filter((id) => !isNameless(id));
  const rest = await settleNamed(scope, authority, entity, named, patience);
  return {
    ...rest,
    differences: [...sum.differences, ...rest.differences],
    excused: sum.excused + rest.excused,
  };
}

/** Nobody can ask for these again, nor has the other store any: so they are what they were when they were read. */
async function settleNameless(scope: CopyScope, entity: Entity, ids: readonly string[]) {
  const aside = await putAside(scope, entity, ids);
  const differences = ids
    .filter((id) => !aside.has(id))
    .map((id): Difference => ({ entity, id, kind: 'unreadable', fields: ['_id'] }));
  return { differences, excused: aside.size };
}

/** What is waited for, and what it was at the first look and at the last one, as digests: there may be thousands. */
type Moving = Map<string, { readonly first: string; readonly last: string }>;

async function settleNamed(
  scope: CopyScope,
  authority: StoreName,
  entity: Entity,
  ids: readonly string[],
  patience: Patience,
): Promise<Settled> {
  const differences: Difference[] = [];
  let excused = 0;
  let moving: Moving = new Map();
  let open = ids;
  const stuck = () => [...moving.values()].filter(({ first, last }) => first === last).length;
  for (let look = 0; open.length > 0; look += 1) {
    const still: Moving = new Map();
    for (let from = 0; from < open.length; from += BATCH) {
      const seen = await lookAt(scope, authority, entity, open.slice(from, from + BATCH));
      differences.push(...seen.differences);
      excused += seen.excused;
      for (const [id, { first, last }] of seen.moving) {
        still.set(id, { first: moving.get(id)?.first ?? first, last });
      }
    }
    moving = still;
    open = [...moving.keys()];
    const waitMs = WAITS_MS[look] ?? (patience.leftMs > 0 && stuck() > 0 ? FURTHER_MS : null);
    if (open.length === 0 || waitMs === null || patience.signal?.aborted === true) break;
    patience.leftMs -= waitMs;
    await scope.environment.sleep(waitMs, patience.signal);
  }
  return { differences, lagging: open, stuck: stuck(), excused };
}

async function lookAt(scope: CopyScope, authority: StoreName, entity: Entity, ids: readonly string[]) {
  const differences: Difference[] = [];
  const moving: Moving = new Map();
  let excused = 0;
  const before = await statesOf(scope, authority, entity, ids);
  const mirror = await statesOf(scope, otherStore(authority), entity, ids);
  const after = await statesOf(scope, authority, entity, ids);
  const excuses = await excusesFor(scope, authority, entity, ids, { before, mirror });
  for (const id of ids) {
    const [a = 'absent', m = 'absent', again = 'absent'] = [before.get(id), mirror.get(id), after.get(id)];
    const verdict = judge(a, m, again);
    if (verdict === 'same') continue;
    if (verdict === 'moving') moving.set(id, { first: stateDigest(a), last: stateDigest(again) });
    else if (excuses.has(id)) excused += 1;
    else differences.push({ entity, id, ...describe(entity, a, m) });
  }
  return { differences, moving, excused };
}

const stateDigest = (state: State): string => hash('sha256', textIn(state), 'base64');

function judge(before: State, mirror: State, after: State): 'same' | 'moving' | 'different' {
  if (textIn(before) !== textIn(after)) return 'moving';
  // Marked before the mirror was asked, and not any more: it was brought up to date in between. A mark in the mirror is
  // an orphan on its way out.
  if (isMarked(before) || isMarked(after) || isMarked(mirror)) return 'moving';
  return textIn(before) === textIn(mirror) && before !== 'unreadable' ? 'same' : 'different';
}

const textIn = (state: State): string => (typeof state === 'string' ? state : state.text);
const isMarked = (state: State): boolean => typeof state !== 'string' && state.isMarked;

function describe(entity: Entity, a: State, m: State): Pick<Difference, 'kind' | 'fields'> {
  if (a === 'unreadable' || m === 'unreadable') return { kind: 'unreadable', fields: [] };
  if (a === 'absent') return { kind: 'only-in-mirror', fields: [] };
  if (m === 'absent') return { kind: 'missing-in-mirror', fields: [] };
  return { kind: 'differs', fields: differingFields(entity, a.text, m.text) };
}

async function statesOf(
  { mongo, postgres }: CopyScope,
  store: StoreName,
  entity: Entity,
  ids: readonly string[],
): Promise<ReadonlyMap<string, State>> {
  if (store === 'postgres') {
    const rows = await rowsById(postgres, entity, ids);
    return new Map(rows.map(({ id, text, isMarked }) => [id, { text, isMarked }]));
  }
  const _ids = decodeIds(ids);
  const states = new Map<string, State>();
  for await (const { id, doc } of eachRaw(mongo, entity, _ids))
    states.set(id, stateOf(mongo.codec, entity, doc));
  return states;
}

function stateOf(codec: Codec, entity: Entity, doc: Doc | null): State {
  const read = doc === null ? null : codec.read(entity, doc);
  if (doc === null || read === null || 'bad' in read || misfitOf(read.record) !== null) return 'unreadable';
  const isMarked = markOf(doc) !== null;
  return { text: textOf(entity, read.record), isMarked };
}

interface Seen {
  readonly before: ReadonlyMap<string, State>;
  readonly mirror: ReadonlyMap<string, State>;
}

async function excusesFor(
  scope: CopyScope,
  authority: StoreName,
  entity: Entity,
  ids: readonly string[],
  { before, mirror }: Seen,
): Promise<ReadonlySet<string>> {
  const excused = new Set<string>();
  const expiredBeforeMs = scope.environment.date().getTime() - scope.retentionMs + RETENTION_MARGIN_MS;
  const owners = new Map<string, string>();
  for (const id of ids) {
    const [a, m] = [before.get(id) ?? 'absent', mirror.get(id) ?? 'absent'];
    const texts = [a, m].flatMap((state) => (typeof state === 'string' ? [] : [state.text]));
    const isPast = (text: string) => (expiryIn(entity, text) ?? Number.POSITIVE_INFINITY) < expiredBeforeMs;
    if (texts.length === 1 && texts.every(isPast)) excused.add(id);
    // A session of nobody, which PostgreSQL cannot take.
    const [document, row] = authority === 'mongo' ? [a, m] : [m, a];
    const owner =
      entity === 'session' && row === 'absent' && typeof document !== 'string'
        ? ownerIn(entity, document.text)
        : null;
    if (owner !== null) owners.set(id, owner);
  }
  if (owners.size > 0) {
    const users = await statesOf(scope, authority, 'user', [...new Set(owners.values())]);
    for (const [id, owner] of owners) if (!users.has(owner)) excused.add(id);
  }
  const [documents, rows] = authority === 'mongo' ? [before, mirror] : [mirror, before];
  const notThere = ids.filter((id) => !excused.has(id) && (rows.get(id) ?? 'absent') === 'absent');
  for (const id of await ofLeftBehind(scope, entity, notThere, documents)) excused.add(id);
  for (const id of await stillAside(scope, entity, notThere, documents)) excused.add(id);
  return excused;
}

/** Sessions of users who were left behind, whenever they were opened: PostgreSQL can take none of them. */
async function ofLeftBehind(
  { stores }: CopyScope,
  entity: Entity,
  ids: readonly string[],
  documents: ReadonlyMap<string, State>,
): Promise<readonly string[]> {
  if (entity !== 'session') return [];
  const owners = ids.flatMap((id) => {
    const state = documents.get(id) ?? 'absent';
    const owner = typeof state === 'string' ? null : ownerIn(entity, state.text);
    return owner === null ? [] : [[id, owner] as const];
  });
  const names = [...new Set(owners.map(([, id]) => id))].map((id) => ({ entity: 'user', id }) as const);
  const behind = await stores.postgres.replica.leftBehind(names);
  return owners.flatMap(([id, owner]) => (behind.has(`user/${owner}`) ? [id] : []));
}

/** What was good by itself and put aside for the sake of others. */
const OF_OTHERS: ReadonlySet<string> = new Set(['duplicate-email', 'user-put-aside', 'refused']);
/** Originals that are in memory at once. */
const COMPARED_MAX = 20;

/**
 * Which of these a copy has put aside, and are what they were then: no record, or the very document. One that was mended
 * since was to be moved, and may not be missing. There was nothing to mend in one that only others kept back: of those an
 * operator has spoken by name, and their owners go on using them in MongoDB.
 */
async function stillAside(
  scope: CopyScope,
  entity: Entity,
  ids: readonly string[],
  documents: ReadonlyMap<string, State>,
): Promise<readonly string[]> {
  const aside = await putAside(scope, entity, ids);
  const isBad = (id: string) => documents.get(id) === 'unreadable';
  const still = [...aside.keys()].filter(isBad);
  const good = [...aside].filter(([id]) => !isBad(id));
  const byName = good.filter(
    ([, { state, reasons }]) => state !== 'held' && reasons.every(({ reason }) => OF_OTHERS.has(reason)),
  );
  still.push(...byName.map(([id]) => id));
  // Of what was dropped nothing was kept to compare with.
  const kept = good.flatMap(([id, { state }]) => (state === 'dropped' || still.includes(id) ? [] : [id]));
  for (let from = 0; from < kept.length; from += COMPARED_MAX) {
    const part = kept.slice(from, from + COMPARED_MAX);
    const originals: Original[] = [];
    for await (const raw of eachRaw(scope.mongo, entity, decodeIds(part))) {
      originals.push(originalOf(scope.mongo.codec, entity, raw, []));
    }
    still.push(...(await scope.postgres.transaction((connection) => asPutAside(connection, originals))));
  }
  return still;
}

type Aside = Pick<Quarantined, 'state' | 'reasons'>;

/** Which of these a copy has put aside, and none has moved since. */
async function putAside(
  { postgres }: CopyScope,
  entity: Entity,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Aside>> {
  if (ids.length === 0) return new Map();
  const rows = await postgres.query<Aside & { readonly id: string }>(
    `select record_id as id, state, reasons from copy_quarantine
     where entity = $1 and record_id = any($2::text[]) and state <> 'moved'`,
    [entity, [...ids]],
  );
  return new Map(rows.map(({ id, ...aside }) => [id, aside]));
}

/** Retention works at its own times: what is about to expire may be gone on one side only. */
export const RETENTION_MARGIN_MS = 3_600_000;

/** The differences a verify found. */
export async function foundBy(
  { postgres }: CopyScope,
  run: string,
  limit: number,
): Promise<readonly Difference[]> {
  const rows = await postgres.query<Difference & Record<string, unknown>>(
    `select entity, record_id as id, reason as kind, array_agg(field order by field) filter (where field <> '') as fields
     from copy_findings where run = $1 and reason <> $3 group by 1, 2, 3 order by 1, 2, 3 limit $2`,
    [run, limit, LAGGING],
  );
  return rows.map((row) => ({ ...row, fields: row.fields ?? [] }));
}

/** What a verify notes of a record that it could not compare yet. */
export const LAGGING = 'lagging';

/** As the books of a verify name what it found. */
export function findingsOf(
  differences: readonly Difference[],
  lagging: readonly RecordName[],
): readonly BadDocument[] {
  return [
    ...differences.flatMap(({ entity, id, kind, fields }) => {
      const named = fields.length === 0 ? [''] : fields;
      return named.map((field) => ({ entity, id, field, reason: kind, detail: null }));
    }),
    ...lagging.map(({ entity, id }) => ({ entity, id, field: '', reason: LAGGING, detail: null })),
  ];
}
