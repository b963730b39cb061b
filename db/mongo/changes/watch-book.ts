/** The one entry that says who watches and how far; a compare-and-set, so that of two takers one comes first. */
import type mongoose from 'mongoose';
import type { ChangeFeed } from '../../changes.ts';
import type { Json } from '../../replica.ts';
import type { Client, Opened } from '../client.ts';
import { duplicateKey } from '../errors.ts';

interface WatchDoc {
  readonly _id: 'watch';
  readonly owner: string | null;
  readonly beat: number;
  readonly body: string;
}

export const WATCH_COLLECTION = 'cutover_watch';

export function createWatchBook(client: Client): Pick<ChangeFeed, 'readWatch' | 'replaceWatch'> {
  return {
    async readWatch() {
      const doc = await client.read((opened) =>
        watch(opened).findOne({ _id: 'watch' }, { maxTimeMS: opened.maxTimeMS }),
      );
      return doc && { owner: doc.owner, beat: doc.beat, body: JSON.parse(doc.body) as Json };
    },

    async replaceWatch(expectedBeat, { owner, beat, body }) {
      const fields = { owner, beat, body: JSON.stringify(body) };
      return client.write(async (opened) => {
        const { maxTimeMS } = opened;
        if (expectedBeat !== null) {
          const filter = { _id: 'watch', beat: expectedBeat } as const;
          return (await watch(opened).updateOne(filter, { $set: fields }, { maxTimeMS })).matchedCount === 1;
        }
        try {
          await watch(opened).insertOne({ _id: 'watch', ...fields }, { maxTimeMS });
          return true;
        } catch (error) {
          if (duplicateKey(error) === null) throw error;
          return false;
        }
      });
    },
  };
}

const watch = ({ db }: Opened): mongoose.mongo.Collection<WatchDoc> => db.collection(WATCH_COLLECTION);
