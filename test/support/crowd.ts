/** Many people, fast: raw documents as the old service and this one left them, the same for the same number. */
import { createHash } from 'node:crypto';
import { ObjectId } from 'bson';
import mongoose from 'mongoose';
import { DEFAULT_MAPPING } from '../../db/canonical.ts';
import type { Entity } from '../../db/records.ts';

const BATCH = 5_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const BCRYPT = '$2b$12$abcdefghijklmnopqrstuuJ0lq4N6o1WmSlmCZ9Jqk3uV0y8pZ7Zu';

/** Documents for each hundred users. */
const OF_EACH_HUNDRED: Readonly<Record<Entity, number>> = {
  user: 100,
  session: 25,
  verificationToken: 10,
  resetToken: 2,
};

export const crowdSize = (users: number): number =>
  Object.values(OF_EACH_HUNDRED).reduce((sum, share) => sum + shareOf(users, share), 0);

const shareOf = (users: number, share: number): number => Math.floor((users * share) / 100);

export interface Crowd {
  /** Of the whole crowd. */
  readonly users: number;
  /** Which of them: `from` included, `to` excluded. Default all. */
  readonly from?: number;
  readonly to?: number;
  readonly now?: Date;
}

/** Inserts these users, and what belongs to some of them. */
export async function insertCrowd(
  url: string,
  { users, from = 0, to = users, now = new Date() }: Crowd,
): Promise<void> {
  const client = new mongoose.mongo.MongoClient(url);
  try {
    for (const [entity, share] of Object.entries(OF_EACH_HUNDRED) as [Entity, number][]) {
      const end = shareOf(to, share);
      for (let first = shareOf(from, share); first < end; first += BATCH) {
        const documents = Array.from({ length: Math.min(BATCH, end - first) }, (_, place) =>
          MAKE[entity]({ index: first + place, users, nowMs: now.getTime() }),
        );
        await client
          .db()
          .collection(DEFAULT_MAPPING.collections[entity])
          .insertMany(documents, { ordered: false });
      }
    }
  } finally {
    await client.close();
  }
}

interface Place {
  readonly index: number;
  readonly users: number;
  readonly nowMs: number;
}

const MAKE: Readonly<Record<Entity, (place: Place) => object>> = {
  user(place) {
    const { index } = place;
    const createdAt = createdAtOf(place);
    return {
      _id: userOf(place),
      // Now and then as people type.
      email: index % 20 === 0 ? ` Person.${index}@Example.com ` : `person.${index}@example.com`,
      name: `Zoë Person ${index}`,
      password: BCRYPT,
      isVerified: index % 3 !== 0,
      createdAt,
      updatedAt: new Date(createdAt.getTime() + HOUR_MS),
      __v: 0,
    };
  },
  session(place) {
    const { index, nowMs } = place;
    const createdAt = new Date(nowMs - DAY_MS);
    return {
      _id: idOf('b', index, createdAt),
      userId: userOf(place),
      generation: 0,
      tokenHash: digest(`s${index}`),
      previousTokenHash: index % 2 === 0 ? null : digest(`p${index}`),
      rotation: index % 5,
      keyId: 'k1',
      createdAt,
      rotatedAt: createdAt,
      idleExpiresAt: new Date(nowMs + 13 * DAY_MS),
      expiresAt: new Date(nowMs + 89 * DAY_MS),
      revokedAt: null,
      revokedReason: null,
      userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
      epoch: 1,
      version: 1,
    };
  },
  verificationToken: (place) => mailed('c', place),
  resetToken: (place) => mailed('d', place),
};

function mailed(kind: string, place: Place): object {
  const createdAt = new Date(place.nowMs - DAY_MS);
  return {
    _id: idOf(kind, place.index, createdAt),
    userId: userOf(place),
    token: digest(`${kind}${place.index}`).slice(0, 40),
    createdAt,
    expiresAt: new Date(place.nowMs + DAY_MS),
    __v: 0,
  };
}

/** One after the other, over the last thousand days. */
const createdAtOf = ({ index, users, nowMs }: Place): Date =>
  new Date(nowMs - DAY_MS - Math.floor((1 - index / users) * 1_000 * DAY_MS));

const userOf = (place: Place): ObjectId => idOf('a', place.index, createdAtOf(place));

function idOf(kind: string, index: number, createdAt: Date): ObjectId {
  const seconds = Math.floor(createdAt.getTime() / 1000)
    .toString(16)
    .padStart(8, '0');
  return ObjectId.createFromHexString(`${seconds}${kind}${index.toString(16).padStart(15, '0')}`);
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
