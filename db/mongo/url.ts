/** What a URL of MongoDB may ask for: nothing that makes an acknowledged write, or a read, worth less than this service needs. */
import type mongoose from 'mongoose';

/**
 * How each client writes and reads BSON. All of it is said, since a URL's options hold where nothing is: a number that comes as a
 * `Long`, or a field left out that was to be null, would be another document.
 */
export const BSON = {
  promoteLongs: true,
  promoteValues: true,
  promoteBuffers: false,
  useBigInt64: false,
  raw: false,
  ignoreUndefined: false,
  serializeFunctions: false,
  checkKeys: false,
  forceServerObjectId: false,
  // One broken string in a legacy document must not make its whole batch unreadable, or end a dump.
  enableUtf8Validation: false,
  // Nor one pattern that MongoDB takes and JavaScript does not.
  bsonRegExp: true,
} as const satisfies mongoose.mongo.MongoClientOptions;

type Asked = Pick<mongoose.mongo.MongoOptions, 'writeConcern' | 'readConcern' | 'readPreference'>;

/** By options as the driver has read them from the URL alone: which of them do, with what they may say. */
export function weakenings({ writeConcern, readConcern, readPreference }: Asked): readonly string[] {
  const { w, journal } = { w: 'majority', journal: true, ...writeConcern };
  return [
    ...(w === 'majority' ? [] : ['w (only majority)']),
    ...(journal === true ? [] : ['journal (only true)']),
    ...((readConcern?.level ?? 'majority') === 'majority' ? [] : ['readConcernLevel (only majority)']),
    ...((readPreference?.mode ?? 'primary') === 'primary' ? [] : ['readPreference (only primary)']),
  ];
}
