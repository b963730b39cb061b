/** People whom the old service has left in MongoDB: accounts without a stamp, a mark or a session. */
import bcrypt from 'bcryptjs';
import mongoose from 'mongoose';
import type { Recorder } from '../history/recorder.ts';

export interface LegacyAccount {
  readonly email: string;
  readonly userId: string;
  readonly password: string;
  readonly isVerified: boolean;
}

/** The cheapest hash there is: the service makes a dearer one at the first login. */
const COST = 4;

/** Inserts so many, as the old service wrote them: fields of its own, letters of either case. */
export async function seedLegacy(mongoUrl: string, count: number): Promise<readonly LegacyAccount[]> {
  const password = 'pass phrase of the old service';
  const hash = bcrypt.hashSync(password, COST);
  const accounts = Array.from({ length: count }, (_, index) => ({
    email: `Legacy.${index}@Example.Test`,
    userId: new mongoose.mongo.ObjectId().toHexString(),
    password,
    isVerified: index % 2 === 0,
  }));
  const documents = accounts.map(({ email, userId, isVerified }, index) => {
    const createdAt = new Date(Date.UTC(2021, 1, 3) + index * 60_000);
    const _id = new mongoose.mongo.ObjectId(userId);
    const name = `Ann ${index}`;
    return {
      _id,
      email,
      name,
      password: hash,
      isVerified,
      createdAt,
      updatedAt: createdAt,
      plan: 'free',
      __v: 3,
    };
  });
  const client = new mongoose.mongo.MongoClient(mongoUrl, { directConnection: true });
  try {
    if (documents.length > 0) await client.db().collection('users').insertMany(documents);
  } finally {
    await client.close();
  }
  return accounts;
}

/** Begins their histories. */
export async function recordLegacy(recorder: Recorder, accounts: readonly LegacyAccount[]): Promise<void> {
  for (const { email, userId: id, password, isVerified } of accounts) {
    await recorder.record(email, { kind: 'signup', password, legacy: true }, 'the old service', async () => ({
      kind: 'answer',
      status: 201,
      body: { user: { id, isVerified } },
    }));
  }
}
