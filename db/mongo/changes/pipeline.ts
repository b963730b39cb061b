/**
 * Which changes are not ours, put so that the server picks them out: what this service writes never travels. Every one
 * of its writes sets a stamp, a mark or an e-mail key, or takes one away; the old service knows none of these fields.
 * Values never travel either.
 */
import { type Codec, type Doc, STORE_FIELDS } from '../../canonical.ts';

const OURS = Object.values(STORE_FIELDS);
const { epoch, version } = STORE_FIELDS;

/** What makes many documents vanish at once. */
export const WIPES: ReadonlySet<string> = new Set(['drop', 'rename', 'dropDatabase', 'invalidate']);
const WRITES = ['insert', 'update', 'replace', 'delete'];

export const foreignChanges = ({ collections }: Codec): Doc[] => [
  {
    $match: {
      operationType: { $in: [...WRITES, ...WIPES] },
      // The events without a collection concern every one.
      // One that is renamed over ours goes by its old name.
      $or: [
        { 'ns.coll': { $in: [...Object.values(collections), null] } },
        { 'to.coll': { $in: Object.values(collections) } },
      ],
      $nor: [
        ...OURS.map((field) => ({ [`updateDescription.updatedFields.${field}`]: { $exists: true } })),
        { 'updateDescription.removedFields': { $in: OURS } },
        { [`fullDocument.${epoch}`]: { $exists: true }, [`fullDocument.${version}`]: { $exists: true } },
      ],
    },
  },
  { $project: { operationType: 1, ns: 1, documentKey: 1 } },
];
