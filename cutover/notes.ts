/** Notes that the engine keeps in the authority's books, by kind; the key is `entity/id` unless said otherwise. */
export const NOTES = {
  /** A record the mirror refuses. Body: `{ reason, stamp }`. */
  poison: 'poison',
  /** A clash over an e-mail's key. Body: `{ holderId, resolution, stamp }`. */
  conflict: 'conflict',
  /** Clashes that the mirror met, resolved or not, by hour. Key: `HOUR`. Body: empty. */
  clash: 'clash',
  /** A mismatch found by a comparison. Body: see `shadow/`. */
  difference: 'difference',
  /** Counts of comparisons. Key: `START_OF_BUCKET/INSTANCE`. Body: `{ outcomes: { [outcome]: count } }`. */
  shadowWindow: 'shadow-window',
  /** A read that fell back, by hour and instance. Key: `HOUR/INSTANCE`. Body: `{ count }`. */
  fallback: 'fallback',
  /** A lease that lapsed while its instance lived, by hour and instance. Key: `HOUR/INSTANCE`. Body: empty. */
  lapse: 'lapse',
  /** Evidence from the bulk verbs. Keys: `verify`, `snapshot`, `backfill`. Body: `{ atMs, clean, run, copy }`. */
  evidence: 'evidence',
  /** A write that no instance made. Key: `entity/id`. Body: `{ store, change, foundBy, foundAtMs }`. */
  foreign: 'foreign',
  /** A document that a copy put aside. Body: see the copy. */
  quarantine: 'quarantine',
} as const;
