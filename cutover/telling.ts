/** The store that is not the authority keeps a copy of the control record, so that it can be told of a change. */
import { isDeepStrictEqual } from 'node:util';
import { StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import type { Barred } from './barred.ts';
import { changeControl, RestoredStore, readControl } from './control.ts';
import type { Environment } from './environment.ts';
import type { LogContext } from './event-log.ts';
import { hasLeft } from './history.ts';
import type { Member } from './instance/member.ts';
import { lookBeforeTelling } from './lost-copy.ts';
import { authorityOf, historyOf, mirrorOf, otherStore } from './mode.ts';
import { hasLostCopy } from './protocol/changes.ts';
import { transitionOf } from './protocol/follow.ts';
import type { ControlRecord, PerStore } from './protocol/types.ts';
import type { Telemetry } from './telemetry.ts';

/** Between two attempts to leave a copy of the record in the other store, ms. */
const TELL_AGAIN_MS = 5_000;
/** Each lost race is somebody's success. */
const RACES_MAX = 10;

export interface TellingOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  readonly barred: Barred;
  /** Those that `makeReady` has made ready. */
  readonly ready: Set<Store>;
  readonly makeReady: (store: Store) => Promise<void>;
  /** Aborted when this process ends. */
  readonly ended: AbortSignal;
}

/** The part of it that each instance has. Nothing here throws. */
export interface Telling {
  /** Tries until it is told, or another record counts. */
  tell(record: ControlRecord): void;
  /** `own`: what the other store was seen to hold. */
  heed(own: ControlRecord | null): void;
}

export function createTelling(options: TellingOptions): Telling {
  const { stores, environment, telemetry, member, barred, ready, makeReady, ended } = options;
  let warned: string | null = null;
  let heeding = false;

  /**
   * It may be emptied at any time, and PostgreSQL replaced, whichever of the two it is; `tryToTell` looks for itself, and may
   * take as long as an index build.
   */
  function heed(own: ControlRecord | null): void {
    const record = member.record();
    if (heeding || record === null) return;
    const isLost = hasLostCopy(record, own);
    if (!isLost && historyOf(record.copy) === null) return;
    heeding = true;
    void heedLoss(record, isLost).finally(() => {
      heeding = false;
    });
  }

  async function heedLoss(record: ControlRecord, isLost: boolean): Promise<void> {
    // Where it does not answer it is asked again.
    const isToBeTold = isLost || (await hasLeft(record, stores.postgres).catch(() => false));
    if (isToBeTold) await tryToTell(record);
  }

  async function tell(record: ControlRecord): Promise<void> {
    while (!(await tryToTell(record))) {
      await environment.sleep(TELL_AGAIN_MS, ended);
      if (ended.aborted || member.record() !== record) return;
    }
  }

  /** The store that is not the authority keeps a copy of the record, so that it can be told of a change. Never throws. */
  async function tryToTell(record: ControlRecord): Promise<boolean> {
    const { mode } = record;
    const [authority, other] = [stores[authorityOf(mode)], stores[otherStore(authorityOf(mode))]];
    if (authority === null || other === null || mirrorOf(mode) === null) return true;
    if (transitionOf(member.state().following) !== null) return true;
    try {
      if (await barred.look(other)) return false;
      // What prepared it is gone with its record.
      if (ready.has(other) && (await readControl(other)) === null) ready.delete(other);
      // Before it is prepared, which may need a privilege that this service has not.
      const looked = await lookBeforeTelling({ environment, telemetry }, authority, other);
      await makeReady(other);
      if (looked === null) return false;
      const decision = await changeControl(other, { kind: 'copy', record, ...looked });
      return decision.kind !== 'refused' || decision.reason === 'higher-epoch';
    } catch (error) {
      warnOfOther(error, other);
      return false;
    }
  }

  /** Once for each reason; of a store that is away or fenced others tell. */
  function warnOfOther(error: unknown, { name }: Store): void {
    const reason = error instanceof Error ? error.message : String(error);
    const isTold = error instanceof StoreUnavailable || error instanceof RestoredStore || reason === warned;
    const level = isTold ? 'debug' : 'warn';
    telemetry[level]({ err: error, store: name }, 'the mirror’s store cannot be told of the control record');
    if (!isTold) warned = reason;
  }

  return {
    tell: (record) => void tell(record),
    heed,
  };
}

/**
 * Tells the other store what the authority says, for whoever can read only that one. No mode depends on it; false when
 * it could not be told. Its revision may have run ahead by attempts that were noted there, so it is raised above its own.
 * The authority is read after the other store: whoever stood still in between finds the revision taken, and so tells
 * nothing older than what is told there.
 */
export async function copyTo(context: LogContext, authority: Store, other: Store): Promise<boolean> {
  try {
    for (let race = 0; race < RACES_MAX; race += 1) {
      const looked = await lookBeforeTelling(context, authority, other);
      if (looked === null) {
        // The copy cannot be made stale before that has ended.
        if (((await readControl(authority))?.transition ?? null) !== null) return false;
        continue;
      }
      const own = await readControl(other);
      const record = await readControl(authority);
      if (record === null || authorityOf(record.mode) !== authority.name) return false;
      // Whoever announced it has told of it before.
      if (record.transition !== null || isToldBy(own, record)) return own?.epoch === record.epoch;
      const ahead = own !== null && own.epoch === record.epoch ? own.revision + 1 : 0;
      const copy = { ...record, revision: Math.max(record.revision, ahead) };
      const { kind } = await changeControl(other, { kind: 'copy', record: copy, ...looked });
      if (kind === 'write') return true;
    }
    return false;
  } catch (error) {
    if (error instanceof StoreUnavailable) return false;
    // A store that was never migrated has no place for it.
    if ((await other.isMigrated().catch(() => true)) === false) return false;
    throw error;
  }
}

function isToldBy(own: ControlRecord | null, record: ControlRecord): boolean {
  const [here, there] = [own, record].map((each) => ({ ...each, revision: 0 }));
  return isDeepStrictEqual(here, there);
}
