/** What the two control records say together, and which of them speaks. Only reads. */
import { STORES, type StoreName } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { asUnreadable, isSilence, OtherSystem, readControl, type UnreadableControl } from '../control.ts';
import { authorityOf, mirrorOf, otherStore } from '../mode.ts';
import { isOneSystem } from '../protocol/changes.ts';
import { FOLLOWING_NOTHING, type Following, follow, unfinishedChange } from '../protocol/follow.ts';
import type { ControlRecord, PerStore } from '../protocol/types.ts';
import { VARIABLES } from '../words.ts';
import { AuthorityUnknown } from './errors.ts';
import type { Backlog, OperatorContext, Summary } from './types.ts';

export interface StoreReading {
  /** Null: not configured. */
  readonly store: Store | null;
  readonly reachable: boolean;
  readonly record: ControlRecord | null;
  /** Why a store that answers does not tell its record. */
  readonly trouble: UnreadableControl | null;
}

export interface Situation {
  readonly readings: PerStore<StoreReading>;
  readonly following: Following;
  /** The record that counts; null when none could be read. */
  readonly record: ControlRecord | null;
  /** A change of authority that only one of the stores has recorded. */
  readonly unfinished: ReturnType<typeof unfinishedChange>;
}

/** A situation whose authority answers, so that something can be done. */
export interface Standing {
  readonly situation: Situation;
  readonly record: ControlRecord;
  readonly authority: Store;
  /** Null: not configured, out of reach, or nothing that is known of can be done with it. */
  readonly other: Store | null;
}

/** Reads both records; a store that does not tell its own is left out. */
export async function readSituation({ stores }: Pick<OperatorContext, 'stores'>): Promise<Situation> {
  const [mongo, postgres] = await Promise.all([readOne(stores.mongo), readOne(stores.postgres)]);
  const readings = ofOneSystem({ mongo, postgres });
  let following = FOLLOWING_NOTHING;
  for (const name of STORES) {
    const { record } = readings[name];
    if (record !== null) following = follow(following, name, record);
  }
  return { readings, following, record: following.record, unfinished: unfinishedChange(following) };
}

/** Of two systems neither counts: which of the URLs is the wrong one cannot be known here. */
function ofOneSystem(readings: PerStore<StoreReading>): PerStore<StoreReading> {
  const { mongo, postgres } = readings;
  if (mongo.record === null || postgres.record === null) return readings;
  if (isOneSystem(mongo.record, postgres.record)) return readings;
  const told = { record: null, trouble: new OtherSystem(null) };
  return { mongo: { ...mongo, ...told }, postgres: { ...postgres, ...told } };
}

async function readOne(store: Store | null): Promise<StoreReading> {
  const silent: StoreReading = { store, reachable: false, record: null, trouble: null };
  if (store === null) return silent;
  try {
    return { ...silent, reachable: true, record: await readControl(store) };
  } catch (error) {
    if (isSilence(error)) return silent;
    const trouble = asUnreadable(error, store.name);
    if (trouble === error) return { ...silent, reachable: true, trouble };
    // A store that was never migrated has no place for a record.
    const migrated = await attempt(() => store.isMigrated());
    if (migrated === null) return silent;
    return { ...silent, reachable: true, trouble: migrated ? trouble : null };
  }
}

/**
 * The situation as something can be done in it. Throws `AuthorityUnknown` when the authority does not answer, and
 * `UnreadableControl` when its record cannot be read, or the other store's may have overruled it.
 */
export function stand(situation: Situation): Standing {
  const { record, readings } = situation;
  if (record === null) throw withoutRecord(situation);
  const name = authorityOf(record.mode);
  const { store, reachable, record: own, trouble } = readings[name];
  if (trouble !== null) throw trouble;
  if (store === null || !reachable) {
    const why = store === null ? 'is not configured' : 'does not answer';
    throw new AuthorityUnknown(`${name} has authority, as far as is known, and ${why}`);
  }
  if (own === null) {
    throw new AuthorityUnknown(
      `${name} has authority, as far as is known, and holds no control record`,
      `let ${VARIABLES[name]} lead to the database that the instances had, or to one that was restored from a snapshot`,
    );
  }
  const other = readings[otherStore(name)];
  if ((other.trouble?.epoch ?? 0) > record.epoch) throw other.trouble;
  const isUsable = other.reachable && other.trouble === null;
  return { situation, record, authority: store, other: isUsable ? other.store : null };
}

/** Both at once, for what has to be as of now. */
export async function readStanding(context: Pick<OperatorContext, 'stores'>): Promise<Standing> {
  return stand(await readSituation(context));
}

/** Why there is no record to go by. */
export function withoutRecord({ readings }: Situation): AuthorityUnknown | UnreadableControl {
  const troubles = STORES.map((name) => readings[name].trouble).filter((each) => each !== null);
  const away = STORES.filter((name) => readings[name].store !== null && !readings[name].reachable);
  if (troubles[0] !== undefined) return troubles[0];
  return new AuthorityUnknown(
    away.length > 0
      ? `no control record could be read: ${away.join(' and ')} cannot be reached`
      : 'no system has been started yet: the first instance creates the control record',
  );
}

/** Whether this store still takes itself for the authority of an epoch that has been overtaken without it. */
export function isDeposed(situation: Situation, name: StoreName): boolean {
  const own = situation.readings[name].record;
  if (own === null || situation.record === null) return false;
  return (
    own.epoch < situation.record.epoch &&
    authorityOf(own.mode) === name &&
    situation.unfinished?.store !== name
  );
}

/** Marks in a store; nulls when it cannot be asked, or is not there. */
export async function backlogOf(store: Store | null, nowMs: number): Promise<Backlog> {
  const marks = store === null ? null : await attempt(() => store.replica.countMarks());
  if (marks === null) return { count: null, oldestAgeMs: null };
  const { count, oldestAt } = marks;
  return { count, oldestAgeMs: oldestAt === null ? null : Math.max(0, nowMs - oldestAt.getTime()) };
}

/** What is printed before and after. */
export async function summarize(context: OperatorContext, standing: Standing): Promise<Summary> {
  const { mode, epoch, revision, copy, transition } = standing.record;
  const marks = await backlogOf(standing.authority, context.environment.date().getTime());
  const pending =
    mirrorOf(mode) === null && marks.count === null ? { count: null, oldestAgeMs: null } : marks;
  return { mode, epoch, revision, authority: authorityOf(mode), copy, transition, pending };
}

/** The value, or null when the store does not give it; never for what changes anything. */
export async function attempt<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch {
    return null;
  }
}
