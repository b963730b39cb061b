/** What becomes of the documents that a copy put aside. */
import { type StoreName, UnfaithfulWrite } from '../../db/errors.ts';
import { decodeId } from '../../db/ids.ts';
import { readRaw } from '../../db/mongo/copy/scan.ts';
import { createFindings, type Quarantined, type QuarantineState } from '../../db/postgres/copy/findings.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import type { Books } from '../../db/replica.ts';
import { WrongArgument } from '../argument.ts';
import { readControl } from '../control.ts';
import { NOTES } from '../notes.ts';
import { classify, createCounts } from './classify.ts';
import { forgetErased } from './erased.ts';
import { createInTheWay } from './in-the-way.ts';
import { assertOneMapping } from './one-mapping.ts';
import { assertUnmoved, authorityNow, logCopy } from './ready.ts';
import { CopyRefused, type CopyScope, type RecordName } from './types.ts';

const ALL = 1_000_000;

export function listQuarantine(
  { postgres }: CopyScope,
  query: { readonly state?: QuarantineState; readonly limit?: number } = {},
): Promise<readonly Quarantined[]> {
  const { state = 'held', limit = 1_000 } = query;
  return createFindings(postgres).quarantined({ state, limit });
}

export interface Retried {
  /** Readable by now, and left to the mirror by a touch. */
  readonly moved: readonly { readonly entity: Entity; readonly id: string }[];
  /** Gone from the source since: nothing is left to move. */
  readonly gone: readonly { readonly entity: Entity; readonly id: string }[];
  readonly stillBad: readonly {
    readonly entity: Entity;
    readonly id: string;
    readonly fields: readonly string[];
  }[];
}

/** Looks at the originals as they stand in MongoDB by now, users first; at one of them, when it is named. */
export async function retryQuarantine(scope: CopyScope, only?: RecordName): Promise<Retried> {
  const { authority, record } = await authorityNow(scope);
  if (authority !== 'mongo') throw new CopyRefused('not-authority', 'MongoDB is not the authority any more');
  await assertOneMapping(scope, scope.stores.mongo, record);
  await forgetErased(scope, authority);
  await matchNotes(scope, authority);
  const findings = createFindings(scope.postgres);
  const inTheWay = createInTheWay(scope);
  const result = {
    moved: [] as Retried['moved'][number][],
    gone: [] as Retried['gone'][number][],
    stillBad: [] as Retried['stillBad'][number][],
  };
  const held = [...(await listQuarantine(scope, { limit: ALL }))]
    .filter(({ entity, id }) => only === undefined || (only.entity === entity && only.id === id))
    .sort((a, b) => ENTITIES.indexOf(a.entity) - ENTITIES.indexOf(b.entity));
  for (const { entity, id, reasons, run } of held) {
    const now = scope.environment.date();
    const _id = decodeId(id);
    const raw = _id === undefined ? null : await readRaw(scope.mongo, entity, _id);
    if (raw === null) {
      if (_id === undefined) result.stillBad.push({ entity, id, fields: reasons.map(({ field }) => field) });
      else if (await findings.resolve(entity, id, { to: 'dropped', resolution: 'gone from the source', now }))
        result.gone.push({ entity, id });
      if (_id !== undefined) await unnote(scope, entity, id);
      continue;
    }
    const read = classify(
      scope.mongo.codec,
      entity,
      raw,
      new Date(now.getTime() - scope.retentionMs),
      createCounts(),
    );
    if (read.kind === 'bad') {
      result.stillBad.push({ entity, id, fields: read.flaws.map(({ field }) => field) });
      continue;
    }
    if (read.kind === 'good') {
      const field = await inTheWay({ run }, read.record);
      if (field !== null) {
        result.stillBad.push({ entity, id, fields: [field] });
        continue;
      }
      const { stamp } = read.record;
      const to = { epoch: record.epoch, version: stamp.version + 1 };
      await assertUnmoved(scope, authority, record);
      try {
        await scope.stores.mongo.replica.touch(entity, id, { expected: stamp, to });
      } catch (error) {
        if (!(error instanceof UnfaithfulWrite)) throw error;
        result.stillBad.push({ entity, id, fields: error.fields });
        continue;
      }
    }
    await findings.resolve(entity, id, { to: 'moved', resolution: 'retried', now });
    await unnote(scope, entity, id);
    result.moved.push({ entity, id });
  }
  const { moved, gone, stillBad } = result;
  await logCopy(scope, scope.stores.mongo, `${scope.environment.newId()}/retried`, {
    quarantine: 'retry',
    moved: moved.length,
    gone: gone.length,
    stillBad: stillBad.length,
  });
  return result;
}

/**
 * Ends the matter by name. `accept`: it stays behind, and may be missing in the other store. `drop`: the same, and the
 * original that was put aside is forgotten. Sessions that only wait for their user go with it. False when it is not held; what a killed process has left of the same decision
 * is done even so.
 */
export async function resolveQuarantine(
  scope: CopyScope,
  what: {
    readonly entity: Entity;
    readonly id: string;
    readonly verb: 'accept' | 'drop';
    readonly reason: string;
  },
): Promise<boolean> {
  const { entity, id, verb, reason } = what;
  if (reason.trim() === '') throw new WrongArgument('a reason is needed: it is recorded');
  const { authority } = await authorityNow(scope);
  const findings = createFindings(scope.postgres);
  const how = {
    to: verb === 'accept' ? 'accepted' : 'dropped',
    now: scope.environment.date(),
    forgets: verb === 'drop',
  } as const;
  const resolved = await findings.resolve(entity, id, { ...how, resolution: reason });
  if (resolved === null) return false;
  await unnote(scope, entity, id);
  if (entity === 'user' && (await findings.resolveSessionsOf(id, how)) > 0)
    await matchNotes(scope, authority);
  // The same entry, whoever writes it.
  const entry = `quarantine/${entity}/${id}/${resolved.resolvedAt.getTime()}`;
  await logCopy(scope, scope.stores[authority], entry, {
    quarantine: verb,
    entity,
    id,
    reason: resolved.resolution,
  });
  return resolved.isNew;
}

/** Of looks at the notes: each but the first is for what others have changed during the one before. */
const LOOKS_MAX = 5;

/**
 * The gates count what is held by the authority's notes. Makes them the same again: a process may have been killed between
 * the two.
 */
export async function matchNotes(scope: CopyScope, authority: StoreName): Promise<void> {
  let isSame = false;
  for (let look = 0; look < LOOKS_MAX && !isSame; look += 1) isSame = await lookAtNotes(scope, authority);
}

/** False: something had to be changed, and somebody may have put aside or decided the very same meanwhile. */
async function lookAtNotes(scope: CopyScope, authority: StoreName): Promise<boolean> {
  const { environment, postgres, stores } = scope;
  const noted: { readonly books: Books; readonly name: StoreName; readonly runs: Map<string, unknown> }[] =
    [];
  for (const { name, books } of [stores.mongo, stores.postgres]) {
    if ((await readControl(stores[name])) === null) continue;
    const notes = await books.notes(NOTES.quarantine, { limit: ALL });
    const runs = notes.map(({ key, body }) => [key, (body as { readonly run?: unknown }).run] as const);
    noted.push({ books, name, runs: new Map(runs) });
  }
  // Behind the notes: what is noted is put aside before.
  const rows = await postgres.query<{ key: string; run: string }>(
    `select entity || '/' || record_id as key, run from copy_quarantine where state = 'held'`,
  );
  const held = new Map(rows.map(({ key, run }) => [key, run]));
  let isSame = true;
  for (const { books, name, runs } of noted) {
    const gone = [...runs.keys()].filter((key) => !held.has(key));
    const wrong = name === authority ? [...held].filter(([key, run]) => runs.get(key) !== run) : [];
    for (const key of gone) await books.deleteNote(NOTES.quarantine, key);
    for (const [key, run] of wrong) await books.putNote(NOTES.quarantine, key, { run }, environment.date());
    isSame &&= gone.length + wrong.length === 0;
  }
  return isSame;
}

async function unnote(scope: CopyScope, entity: Entity, id: string): Promise<void> {
  for (const store of [scope.stores.mongo, scope.stores.postgres]) {
    if ((await readControl(store)) !== null)
      await store.books.deleteNote(NOTES.quarantine, `${entity}/${id}`);
  }
}
