import { isDeepStrictEqual } from 'node:util';
import { StoreUnavailable } from '../db/errors.ts';
import type { Store } from '../db/port.ts';
import { changeControl, readControl } from './control.ts';
import type { LogContext } from './event-log.ts';
import { lookBeforeTelling } from './lost-copy.ts';
import { authorityOf } from './mode.ts';
import type { ControlRecord } from './protocol/types.ts';

/** Each lost race is somebody's success. */
const RACES_MAX = 10;

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
      if (looked === null) continue;
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
