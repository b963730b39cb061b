/** What the old service left behind: its documents and its tokens, and a way to look behind the service's back. */
import { createHmac } from 'node:crypto';
import mongoose from 'mongoose';
import type { TestApp } from './app.ts';
import { asSuperuser } from './databases.ts';

const { MongoClient, ObjectId } = mongoose.mongo;
type Document = Record<string, unknown>;

/** Runs with a plain driver on the app's database. */
export async function withMongo<T>(app: TestApp, work: (db: mongoose.mongo.Db) => Promise<T>): Promise<T> {
  const url = app.config.mongoUrl;
  if (url === null) throw new Error('this mode has no MongoDB');
  const client = new MongoClient(url);
  try {
    return await work(client.db());
  } finally {
    await client.close();
  }
}

/** Removes the user's record from every store the app has, as retention or a shell would. */
export async function removeUser(app: TestApp, id: string): Promise<void> {
  const { databaseUrl, mongoUrl, backendMode } = app.config;
  if (mongoUrl !== null && backendMode !== 'postgres-only') {
    await withMongo(app, (db) => db.collection('users').deleteOne({ _id: new ObjectId(id) }));
  }
  if (databaseUrl !== null && backendMode !== 'mongo-only') {
    await asSuperuser(databaseUrl, 'delete from sessions where user_id = $1', [id]);
    await asSuperuser(databaseUrl, 'delete from users where id = $1', [id]);
  }
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

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of the old service: HS256 over these claims, unless told otherwise. */
export function legacyJwt(
  secret: string,
  claims: object,
  header: object = { alg: 'HS256', typ: 'JWT' },
): string {
  const text = `${part(header)}.${part(claims)}`;
  const hash = JSON.stringify(header).includes('HS512') ? 'sha512' : 'sha256';
  return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`;
}
