/** The stores in trouble that tests hand on by URL, to processes or to apps of their own. */
import type { Store } from '../../../db/port.ts';
import type { Troubled } from './troubled.ts';

export interface Known {
  readonly troubled: Troubled;
  /** A store of ours on the same database. */
  readonly probe: Store;
}

/** By the URL of its database. */
export const known = new Map<string, Known>();

/** The one that these environment variables name. */
export const knownIn = (env: Readonly<Record<string, string>>): Known | undefined =>
  known.get(env['MONGO_URL'] ?? '') ?? known.get(env['DATABASE_URL'] ?? '');
