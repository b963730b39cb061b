/** Whether a database may be restored into. */
import type { StoreName } from '../../db/errors.ts';
import type { ControlEntry } from '../../db/replica.ts';
import { toControl } from '../control.ts';
import { authorityOf, mirrorOf } from '../mode.ts';
import { fenceOf } from './fence.ts';
import { SnapshotRefused } from './types.ts';

/**
 * Throws `SnapshotRefused` when the record says that a system uses this store: as its authority, or as a mirror, whose
 * copy would silently be an older one. Throws `UnreadableControl` for a record of another version.
 */
export function assertFree(name: StoreName, entry: ControlEntry | null): void {
  if (entry === null || fenceOf(entry) !== null) return;
  const { mode } = toControl(entry);
  const role = authorityOf(mode) === name ? 'the authority' : mirrorOf(mode) === name ? 'the mirror' : null;
  if (role === null) return;
  throw new SnapshotRefused(
    'in-use',
    `this database is ${role} of a system in ${mode}`,
    'restore into a new database, then point the instances at it',
  );
}

/** Whether two URLs lead to the same database, as far as their text says. */
export function isSameDatabase(a: string, b: string): boolean {
  return placeOf(a) === placeOf(b);
}

function placeOf(url: string): string {
  const [, hosts = '', path = ''] = /^[a-z+]+:\/\/(?:[^@/]*@)?([^/?]*)\/?([^?]*)/i.exec(url) ?? [];
  const port = /^mongodb/i.test(url) ? '27017' : '5432';
  const named = hosts
    .toLowerCase()
    .split(',')
    .map((host) => (/:\d+$/.test(host) ? host : `${host}:${port}`));
  return `${named.sort().join(',')}/${path}`;
}
