/** What the server is, in its own words. */
import type mongoose from 'mongoose';
import { StoreUnavailable } from '../errors.ts';

/** Throws when the server takes no writes. */
export async function assertWritable(db: mongoose.mongo.Db): Promise<void> {
  const hello = await db.admin().command({ hello: 1 });
  if (hello['isWritablePrimary'] !== true) throw new StoreUnavailable('mongo', 'none', 'read-only');
}

/** The server's time. */
export async function serverClock(db: mongoose.mongo.Db): Promise<Date> {
  const { localTime } = await db.admin().command({ hello: 1 });
  if (!(localTime instanceof Date)) throw new StoreUnavailable('mongo', 'none', 'connect');
  return localTime;
}

/** Product and version. Servers that speak MongoDB's protocol also name the version they imitate: not theirs. */
export async function describeServer(db: mongoose.mongo.Db): Promise<string> {
  const info = await db.admin().command({ buildInfo: 1 });
  if (typeof info['secantusVersion'] === 'string') return `SecantusDB ${info['secantusVersion']}`;
  const ferret: unknown = info['ferretdb'] ?? info['ferretdbVersion'];
  if (ferret !== undefined)
    return `FerretDB ${typeof ferret === 'string' ? ferret : Object(ferret)['version']}`;
  const isMongod =
    /^[0-9a-f]{40}$/.test(String(info['gitVersion'])) && !/^0+$/.test(String(info['gitVersion']));
  return `${isMongod ? 'MongoDB' : 'MongoDB-compatible server'} ${info['version']}`;
}
