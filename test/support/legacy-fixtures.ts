/** What the old service left behind in MongoDB, and a way to look behind the service's back there. */
import mongoose from 'mongoose';
import type { TestApp } from './app.ts';
import { withDatabase } from './mongo.ts';

const { ObjectId } = mongoose.mongo;
type Document = Record<string, unknown>;

/** Runs with a plain driver on the app's database. */
export function withMongo<T>(app: TestApp, work: (db: mongoose.mongo.Db) => Promise<T>): Promise<T> {
  const url = app.config.mongoUrl;
  if (url === null) throw new Error('this mode has no MongoDB');
  return withDatabase(url, work);
}

export interface LegacyUser {
  readonly email: string;
  readonly passwordHash?: string | null;
  readonly name?: string;
  readonly isVerified?: boolean;
  readonly createdAt?: Date;
  /** More fields, or others instead. */
  readonly extra?: Document;
}

/** Inserts a user as the old service did; its id. */
export async function insertLegacyUser(app: TestApp, user: LegacyUser): Promise<string> {
  const createdAt = user.createdAt ?? app.clock.now();
  const _id = new ObjectId();
  await withMongo(app, (db) =>
    db.collection<Document>('users').insertOne({
      _id,
      email: user.email,
      name: user.name ?? 'Legacy Person',
      ...(user.passwordHash !== null && { password: user.passwordHash ?? 'none' }),
      isVerified: user.isVerified ?? false,
      createdAt,
      updatedAt: createdAt,
      __v: 0,
      ...user.extra,
    }),
  );
  return _id.toHexString();
}

/** Inserts a token in clear, as the old service did. */
export async function insertLegacyToken(
  app: TestApp,
  collection: 'verification_tokens' | 'password_reset_tokens',
  token: {
    readonly userId: string;
    readonly token: string;
    readonly createdAt: Date;
    readonly expiresAt: Date;
  },
): Promise<void> {
  await withMongo(app, (db) =>
    db.collection<Document>(collection).insertOne({
      _id: new ObjectId(),
      ...token,
      userId: new ObjectId(token.userId),
      __v: 0,
    }),
  );
}
