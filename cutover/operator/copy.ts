import { isDeepStrictEqual } from 'node:util';
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { changeControl, readControl } from '../control.ts';
import type { ControlRecord } from '../protocol/types.ts';

/**
 * Tells the other store what the authority says, for whoever can read only that one. No mode depends on it; false when
 * it could not be told. Its revision may have run ahead by attempts that were noted there, so it is raised above its own.
 */
export async function copyTo(other: Store, record: ControlRecord): Promise<boolean> {
  try {
    const own = await readControl(other);
    if (
      own !== null &&
      own.epoch === record.epoch &&
      isDeepStrictEqual({ ...own, revision: 0 }, { ...record, revision: 0 })
    ) {
      return true;
    }
    const ahead = own !== null && own.epoch === record.epoch ? own.revision + 1 : 0;
    const copy = { ...record, revision: Math.max(record.revision, ahead) };
    return (await changeControl(other, { kind: 'copy', record: copy })).kind !== 'refused';
  } catch (error) {
    if (error instanceof StoreUnavailable) return false;
    // A store that was never migrated has no place for it.
    if ((await other.isMigrated().catch(() => true)) === false) return false;
    throw error;
  }
}
