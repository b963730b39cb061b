/** Whether a database may be restored into. */
import mongoose from 'mongoose';
import type { StoreName } from '../../db/errors.ts';
import { placeOf } from '../../db/postgres/snapshot/client.ts';
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

/** Whether two URLs of one kind of store lead to the same database, as far as their text says. */
export function isSameDatabase(name: StoreName, a: string, b: string): boolean {
  return name === 'mongo' ? placeOfMongo(a) === placeOfMongo(b) : placeOfPostgres(a) === placeOfPostgres(b);
}

/** The name of the database that a URL leads to, as its driver reads it. */
export function databaseOf(name: StoreName, url: string): string {
  return name === 'mongo' ? new mongoose.mongo.MongoClient(url).db().databaseName : placeOf(url).database;
}

function placeOfPostgres(url: string): string {
  const { host, port, database } = placeOf(url);
  return `${host.toLowerCase()}:${port}/${database}`;
}

function placeOfMongo(url: string): string {
  const [, hosts = '', path = ''] = /^[a-z+]+:\/\/(?:[^@/]*@)?([^/?]*)\/?([^?]*)/i.exec(url) ?? [];
  const named = hosts
    .toLowerCase()
    .split(',')
    .map((host) => (/:\d+$/.test(host) ? host : `${host}:27017`));
  return `${named.sort().join(',')}/${path}`;
}
