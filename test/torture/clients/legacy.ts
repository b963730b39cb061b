/** People whom the old service has left in MongoDB: accounts without a stamp, a mark or a session. */
import { createHash, createHmac } from 'node:crypto';
import bcrypt from 'bcryptjs';
import mongoose from 'mongoose';
import type { Recorder } from '../history/recorder.ts';
import type { SessionName } from '../history/types.ts';
import { LEGACY_SECRET } from '../system/environment.ts';

export interface LegacyAccount {
  readonly email: string;
  readonly userId: string;
  readonly password: string;
  readonly isVerified: boolean;
  /** Of the old service, good until the run is over: one for each device. */
  readonly tokens: readonly string[];
}

/** Names the session that the token at this place stands for. */
export const legacySession = (place: number): SessionName => -1 - place;
/** The other way round; of any other session, a place where there is no token. */
export const legacyPlace = (name: SessionName): number => -1 - name;

/** The cheapest hash there is: the service makes a dearer one at the first login. */
const COST = 4;

const DEVICES = 6;

/** Signed as the old service did: HS256 with its own secret. */
function oldToken(userId: string, device: number): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
  const exp = Math.floor(Date.now() / 1_000) + 86_400;
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ userId, device, exp })}`;
  return `${signed}.${createHmac('sha256', LEGACY_SECRET).update(signed).digest('base64url')}`;
}

/** The id of the session that a token of the old service stands for. */
function sessionIdOf(token: string): string {
  return createHash('sha256').update(`legacy session id:${token}`).digest('hex').slice(0, 24);
}

/** Inserts so many, as the old service wrote them: fields of its own, letters of either case. */
export async function seedLegacy(mongoUrl: string, count: number): Promise<readonly LegacyAccount[]> {
  const password = 'pass phrase of the old service';
  const hash = bcrypt.hashSync(password, COST);
  const accounts = Array.from({ length: count }, (_, index) => {
    const userId = new mongoose.mongo.ObjectId().toHexString();
    return {
      email: `Legacy.${index}@Example.Test`,
      userId,
      password,
      isVerified: index % 2 === 0,
      tokens: Array.from({ length: DEVICES }, (_token, device) => oldToken(userId, device)),
    };
  });
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
  for (const { email, userId: id, password, isVerified, tokens } of accounts) {
    for (const [place, token] of tokens.entries()) recorder.name(sessionIdOf(token), legacySession(place));
    await recorder.record(email, { kind: 'signup', password, legacy: true }, 'the old service', async () => ({
      kind: 'answer',
      status: 201,
      body: { user: { id, isVerified } },
    }));
  }
}
