/** A URL whose options say how a driver is to read and write BSON: what this service says of that stands above them. */
import { Long } from 'bson';
import mongoose from 'mongoose';
import { expect, onTestFinished, test } from 'vitest';
import { DEFAULT_CODEC } from '../../db/canonical.ts';
import { openMongoBulk } from '../../db/mongo/copy/client.ts';
import { connectMongo } from '../../db/mongo/snapshot/client.ts';
import { sessionOf, signUp, userOf } from '../contract/fixtures.ts';
import { newMongoDatabase, openMongoAt, withDatabase } from '../support/mongo.ts';

const OPTIONS = {
  promoteLongs: 'false',
  promoteValues: 'false',
  promoteBuffers: 'true',
  raw: 'true',
  ignoreUndefined: 'true',
  serializeFunctions: 'true',
  forceServerObjectId: 'true',
  enableUtf8Validation: 'true',
  retryWrites: 'true',
};

test('records are written and read as ever, through each kind of client', async () => {
  const plain = newMongoDatabase();
  const url = new URL(plain);
  for (const [name, value] of Object.entries(OPTIONS)) url.searchParams.set(name, value);
  const store = await openMongoAt(url.href);
  onTestFinished(() => store.close());
  const repo = store.at({ epoch: 1, pending: true });
  const { user, session } = await signUp(repo);
  expect(await userOf(repo, user.id)).toMatchObject(user);
  expect(await sessionOf(repo, session.id)).toMatchObject(session);
  expect(await store.replica.countMarks()).toMatchObject({ count: 3 });

  const odd = { _id: new mongoose.mongo.ObjectId(), version: Long.fromNumber(7), note: null };
  await withDatabase(plain, (db) => db.collection('users').insertOne({ ...odd }));
  const bulk = openMongoBulk({ url: url.href, poolMax: 1, timeoutMs: 10_000, codec: DEFAULT_CODEC });
  onTestFinished(() => bulk.close());
  expect(await bulk.collection('user').findOne({ _id: odd._id })).toEqual({ ...odd, version: 7 });
  const snapshot = await connectMongo(url.href);
  onTestFinished(() => snapshot.close());
  expect(await snapshot.db.collection('users').findOne({ _id: odd._id })).toEqual({ ...odd, version: 7 });
});
