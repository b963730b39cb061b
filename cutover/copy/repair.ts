/**
 * Repair is a touch: the authority's record under a stamp above both, marked, and the mirror follows. What only the
 * mirror has is moved aside there.
 */
import { stampOf } from '../../db/canonical.ts';
import { UnfaithfulWrite } from '../../db/errors.ts';
import { decodeId } from '../../db/ids.ts';
import { isNameless } from '../../db/mongo/copy/raw-document.ts';
import { readRaw } from '../../db/mongo/copy/scan.ts';
import type { Stamp } from '../../db/records.ts';
import { compareStamps } from '../../db/records.ts';
import { mayPutAway } from '../history.ts';
import { otherStore } from '../mode.ts';
import { foreignNotes, pickUp } from './foreign.ts';
import { assertOneMapping } from './one-mapping.ts';
import { assertUnmoved, authorityNow, logCopy } from './ready.ts';
import { type Difference, foundBy, settle } from './settle.ts';
import { CopyRefused, type CopyScope } from './types.ts';

export interface RepairOptions {
  /** The verify whose findings are repaired; without it those of the latest, and foreign writes. */
  readonly run?: string;
  readonly dryRun?: boolean;
}

export interface RepairResult {
  /** The verify; null: there was none, and only foreign writes were repaired. */
  readonly run: string | null;
  /** Of what was found, this still differed. */
  readonly found: number;
  readonly touched: number;
  readonly movedAside: number;
  /** Nobody can repair these: the document means no record, or has an `_id` that nobody can ask for. */
  readonly unrepairable: readonly Difference[];
}

const ALL = 1_000_000;

/** Each finding, and each foreign write, is looked at once more before anything is done about it. */
export async function repair(
  scope: CopyScope,
  { run, dryRun = false }: RepairOptions = {},
): Promise<RepairResult> {
  const { authority, record } = await authorityNow(scope);
  if (record.transition !== null) throw new CopyRefused('in-transition', 'authority is about to change');
  await assertOneMapping(scope, scope.stores[authority], record);
  if (!(await mayPutAway(record, scope.stores[authority]))) {
    throw new CopyRefused(
      'authority-behind',
      'PostgreSQL was replaced by a server that may lack what MongoDB has, which a repair would put aside',
    );
  }
  const foreign = run === undefined ? await foreignNotes(scope) : [];
  const id = run ?? (await latestVerify(scope)) ?? null;
  if (id === null && foreign.length === 0) throw new CopyRefused('no-run', 'nothing was verified yet');
  const sum = { found: 0, touched: 0, movedAside: 0 };
  const unrepairable: Difference[] = [];
  const found = id === null ? [] : await foundBy(scope, id, ALL);
  const noted = new Set(foreign.map(({ entity, id }) => `${entity}/${id}`));
  const names = [...foreign, ...found.filter((each) => !noted.has(`${each.entity}/${each.id}`))];
  for (const each of names) {
    const settled = await settle(scope, authority, each.entity, [each.id]);
    let isLeft = false;
    for (const difference of settled.differences) {
      sum.found += 1;
      if (dryRun) continue;
      await assertUnmoved(scope, authority, record);
      const done = await repairOne(scope, authority, record.epoch, difference);
      if (done === 'touched') sum.touched += 1;
      if (done === 'moved-aside') sum.movedAside += 1;
      if (done === 'unrepairable') unrepairable.push(difference);
      isLeft ||= done === 'unrepairable';
    }
    // Alike, on its way, or touched: the stamp now names what the other wrote.
    if ('note' in each && !isLeft && !dryRun) await pickUp(scope, each.note);
  }
  const { touched, movedAside } = sum;
  if (!dryRun) {
    const { environment, stores } = scope;
    await logCopy(scope, stores[authority], `${environment.newId()}/repaired`, {
      run: id,
      touched,
      movedAside,
    });
  }
  return { run: id, ...sum, unrepairable };
}

async function latestVerify({ postgres }: CopyScope): Promise<string | undefined> {
  const [row] = await postgres.query<{ id: string }>(
    `select id from copy_runs where kind = 'verify' order by started_at desc, id limit 1`,
  );
  return row?.id;
}

async function repairOne(
  scope: CopyScope,
  authority: 'mongo' | 'postgres',
  epoch: number,
  { entity, id, kind }: Difference,
): Promise<'touched' | 'moved-aside' | 'unrepairable' | 'moved-on'> {
  if (isNameless(id) || (kind === 'unreadable' && authority === 'mongo')) return 'unrepairable';
  const { stores, environment } = scope;
  const [own, other] = [stores[authority], stores[otherStore(authority)]];
  const mirrored = await stampHeld(scope, otherStore(authority), { entity, id });
  const held = await own.replica.read(entity, [id]);
  if (held.unreadable.length > 0) return 'unrepairable';
  const record = held.found.get(id)?.record;
  if (record === undefined) {
    if (mirrored === null) return 'moved-on';
    // What means no record is moved nowhere.
    if (kind === 'unreadable') return 'unrepairable';
    const move = { expected: mirrored, reason: 'only-in-mirror', now: environment.date() };
    return (await other.replica.moveAside(entity, id, move)) ? 'moved-aside' : 'moved-on';
  }
  const { stamp } = record;
  const above = mirrored !== null && compareStamps(mirrored, stamp) > 0 ? mirrored : stamp;
  const to: Stamp = {
    epoch: Math.max(epoch, above.epoch),
    version: Math.max(above.version, stamp.version) + 1,
  };
  if (to.epoch > epoch) return 'unrepairable';
  try {
    return (await own.replica.touch(entity, id, { expected: stamp, to })) ? 'touched' : 'moved-on';
  } catch (error) {
    if (error instanceof UnfaithfulWrite) return 'unrepairable';
    throw error;
  }
}

/** Of a document that means no record too. */
async function stampHeld(
  { stores, mongo }: CopyScope,
  store: 'mongo' | 'postgres',
  { entity, id }: Pick<Difference, 'entity' | 'id'>,
): Promise<Stamp | null> {
  if (store === 'mongo') {
    const _id = decodeId(id);
    const raw = _id === undefined ? null : await readRaw(mongo, entity, _id);
    return raw === null ? null : raw.doc === null ? { epoch: 0, version: 0 } : stampOf(raw.doc);
  }
  return (await stores.postgres.replica.read(entity, [id])).found.get(id)?.record.stamp ?? null;
}
