/** Takes the personal data out of an erased user's sessions. */
import { STORE_FIELDS } from '../canonical.ts';
import { decodeId } from '../ids.ts';
import * as transitions from '../transitions.ts';
import { change, findAll, type Scope } from './writes.ts';

const BATCH_MAX = 200;

/** Every session of the user; then the tombstone's mark goes, which `purge` would otherwise follow. */
export async function scrubSessions(scope: Scope, userId: string, now: Date): Promise<void> {
  const { client } = scope;
  for (let seen = BATCH_MAX; seen === BATCH_MAX; ) {
    const dirty = await findAll(
      client,
      'session',
      {
        userId: { $eq: decodeId(userId) },
        $or: [{ revokedAt: null }, { userAgent: { $ne: null } }],
      },
      { limit: BATCH_MAX },
    );
    for (const { record } of dirty) {
      await change(scope, 'session', record.id, (session) => transitions.scrubSession(session, { now }));
    }
    seen = dirty.length;
  }
  const filter = { _id: { $eq: decodeId(userId) }, [STORE_FIELDS.scrubDue]: true };
  await client.write(({ models, maxTimeMS }) =>
    models.user.collection.updateOne(
      filter as never,
      { $unset: { [STORE_FIELDS.scrubDue]: '' } },
      { maxTimeMS },
    ),
  );
}
