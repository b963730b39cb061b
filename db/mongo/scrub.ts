/**
 * Takes the personal data out of an erased user's sessions. The note that it is under way has a collection of its own:
 * on the tombstone it would be a second content under one stamp.
 */
import type mongoose from 'mongoose';
import { decodeId } from '../ids.ts';
import * as transitions from '../transitions.ts';
import type { Opened } from './client.ts';
import { duplicateKey } from './errors.ts';
import { forgetKept } from './kept.ts';
import { ERASURES_COLLECTION } from './models.ts';
import { assertMayWrite } from './steps.ts';
import { change, find, findAll, type Scope } from './writes.ts';

interface Erasure {
  /** The user's. */
  readonly _id: string;
  readonly startedAt: Date;
}

const BATCH_MAX = 200;

export async function beginErasure(
  { client, context, steps }: Scope,
  userId: string,
  now: Date,
): Promise<void> {
  try {
    await client.write((opened) => {
      assertMayWrite(context);
      return erasures(opened).insertOne({ _id: userId, startedAt: now }, { maxTimeMS: opened.maxTimeMS });
    });
    steps?.wrote();
  } catch (error) {
    // Another attempt at the same erasure.
    if (duplicateKey(error) === null) throw error;
  }
}

export async function endErasure({ client, context, steps }: Scope, userId: string): Promise<void> {
  await client.write((opened) => {
    assertMayWrite(context);
    return erasures(opened).deleteOne({ _id: userId }, { maxTimeMS: opened.maxTimeMS });
  });
  steps?.wrote();
}

/** All that a user leaves behind besides the tombstone. */
export async function scrubErased(scope: Scope, userId: string, now: Date): Promise<void> {
  await scrubSessions(scope, userId, now);
  await forgetKept(scope.client, [userId], () => assertMayWrite(scope.context));
}

/**
 * Every session of the user, also those that had ended before. Asked for in two ways, one after the other: with both in one
 * `$or` there are servers that look through everybody's.
 */
async function scrubSessions(scope: Scope, userId: string, now: Date): Promise<void> {
  const owner = { userId: { $eq: decodeId(userId) } };
  for (const dirty of [{ revokedAt: null }, { userAgent: { $ne: null } }]) {
    for (let count = BATCH_MAX; count === BATCH_MAX; ) {
      const found = await findAll(scope.client, 'session', { ...owner, ...dirty }, { limit: BATCH_MAX });
      for (const { record } of found) {
        await change(scope, 'session', record.id, (session) => transitions.scrubSession(session, { now }));
      }
      count = found.length;
    }
  }
}

/** Finishes what processes left that died between a user's tombstone and its sessions. */
export async function finishErasures(scope: Scope, limit: number, startedBefore: Date): Promise<void> {
  const left = await scope.client.read((opened) =>
    erasures(opened).find({}, { limit, maxTimeMS: opened.maxTimeMS }).toArray(),
  );
  for (const { _id, startedAt } of left) {
    const deletedAt = (await find(scope.client, 'user', _id))?.record.deletedAt ?? null;
    if (deletedAt !== null) await scrubErased(scope, _id, deletedAt);
    // Of a user who lives the erasure may be just about to be written.
    if (deletedAt !== null || startedAt < startedBefore) await endErasure(scope, _id);
  }
}

function erasures({ db }: Opened): mongoose.mongo.Collection<Erasure> {
  return db.collection<Erasure>(ERASURES_COLLECTION);
}
