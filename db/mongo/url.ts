/** What a URL of MongoDB may ask for: nothing that makes an acknowledged write, or a read, worth less than this service needs. */
import type mongoose from 'mongoose';

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
