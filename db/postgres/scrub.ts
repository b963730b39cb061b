import { sql } from 'kysely';
import * as transitions from '../transitions.ts';
import { COLUMNS } from './columns.ts';
import { fromRow } from './rows.ts';
import { assertNotStale, type Scope } from './writes.ts';

/** Revokes and scrubs every session of a user inside a transaction, ended ones too, in one statement however many. */
export async function scrubAll({ db, context }: Scope, userId: string, now: Date): Promise<void> {
  const rows = await db
    .selectFrom('sessions')
    .select(COLUMNS.sessions)
    .where('user_id', '=', userId)
    .where((eb) => eb.or([eb('revoked_at', 'is', null), eb('user_agent', 'is not', null)]))
    .orderBy('id')
    .forNoKeyUpdate()
    .execute();
  const scrubbed = rows.map(fromRow.session).flatMap((session) => {
    const decision = transitions.scrubSession(session, { now });
    if ('refused' in decision) return [];
    assertNotStale('session', session, context);
    return [decision.next];
  });
  if (scrubbed.length === 0) return;
  await sql`
    update sessions set
      revoked_at = scrubbed.revoked_at, revoked_reason = scrubbed.revoked_reason, user_agent = null,
      pending_at = coalesce(pending_at, ${context.pending ? new Date() : null}::timestamptz), epoch = ${context.epoch}, version = version + 1
    from unnest(
      ${scrubbed.map((each) => each.id)}::text[],
      ${scrubbed.map((each) => each.revokedAt)}::timestamptz[],
      ${scrubbed.map((each) => each.revokedReason)}::text[]
    ) as scrubbed (id, revoked_at, revoked_reason)
    where sessions.id = scrubbed.id
  `.execute(db);
  for (const each of scrubbed) context.onWrite?.('session', each.id);
}
