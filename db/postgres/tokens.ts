import { sql } from 'kysely';
import type { DueMail, MailPurpose, Repository } from '../port.ts';
import type { ResetTokenRecord, UserRecord } from '../records.ts';
import * as transitions from '../transitions.ts';
import { castValues, columnList, prefixed, qualified, unprefixed } from './columns.ts';
import { TABLES } from './database.ts';
import { fromRow, type RowOf } from './rows.ts';
import { prepare } from './statements.ts';
import { assertMayWrite, change, guardedUpdate, newRow, read, retried, type Scope } from './writes.ts';

type Tokens = Pick<
  Repository,
  | 'addVerificationToken'
  | 'findVerificationToken'
  | 'requestReset'
  | 'findResetToken'
  | 'listDueMail'
  | 'moveMailDue'
>;

const findVerification = prepare<[hash: string]>()((db, hash) =>
  db
    .selectFrom('verification_tokens')
    .leftJoin('users', 'users.id', 'verification_tokens.user_id')
    .select(qualified('verification_tokens'))
    .select(prefixed('users', 'u_'))
    .where('verification_tokens.token_hash', '=', hash)
    // Legacy documents may share a token: the newest has it.
    .orderBy('verification_tokens.created_at', 'desc')
    .orderBy('verification_tokens.id', 'desc')
    .limit(sql.lit(1))
    .compile(),
);

const findReset = prepare<[hash: string]>()((db, hash) =>
  db
    .selectFrom('password_reset_tokens')
    .leftJoin('users', 'users.id', 'password_reset_tokens.user_id')
    .select(qualified('password_reset_tokens'))
    .select(prefixed('users', 'u_'))
    .select((eb) =>
      eb
        .exists(
          eb
            .selectFrom('password_reset_tokens as newer')
            .select('newer.id')
            .whereRef('newer.user_id', '=', 'password_reset_tokens.user_id')
            .whereRef('newer.generation', '=', 'password_reset_tokens.generation')
            .where(
              sql<boolean>`(newer.created_at, newer.id) > (password_reset_tokens.created_at, password_reset_tokens.id)`,
            ),
        )
        .as('superseded'),
    )
    .where('password_reset_tokens.token_hash', '=', hash)
    .orderBy('password_reset_tokens.created_at', 'desc')
    .orderBy('password_reset_tokens.id', 'desc')
    .limit(sql.lit(1))
    .compile(),
);

export function createTokens(scope: Scope): Tokens {
  const { db, context } = scope;

  return {
    async addVerificationToken(token) {
      assertMayWrite(context);
      await db
        .insertInto('verification_tokens')
        .values(newRow('verificationToken', token, context))
        .execute();
      context.onWrite?.('verificationToken', token.id);
    },

    async findVerificationToken({ hash }) {
      const [row] = await findVerification(db, hash);
      return row === undefined ? null : { token: fromRow.verificationToken(row), user: joinedUser(row) };
    },

    requestReset: ({ token, decoy, now }) =>
      retried(async () => {
        const user = await read(scope, 'user', token.userId);
        if (decoy) {
          await insertReset({ ...token, generation: 0 });
          return { value: 'done' };
        }
        if (user === null) return { value: 'gone' };
        const decision = transitions.raiseResetGeneration(user, { now });
        if ('refused' in decision) return { value: decision.refused };
        const generation = decision.next.resetGeneration;
        const raised = guardedUpdate(scope, 'user', user, decision.next);
        const row = newRow('resetToken', { ...token, generation }, context);
        assertMayWrite(context);
        const { numAffectedRows } = await sql`
          with raised as (${raised} returning id)
          insert into password_reset_tokens (${sql.join(Object.keys(row).map((column) => sql.ref(column)))})
          select ${castValues('password_reset_tokens', row)} from raised
        `.execute(db);
        if (numAffectedRows !== 1n) return 'lost';
        context.onWrite?.('user', user.id);
        context.onWrite?.('resetToken', token.id);
        return { value: 'done' };
      }),

    async findResetToken({ hash }) {
      const [row] = await findReset(db, hash);
      if (row === undefined) return null;
      return {
        token: fromRow.resetToken(row),
        user: joinedUser(row),
        superseded: Boolean(row.superseded),
      };
    },

    async listDueMail(query) {
      const [verification, reset] = await Promise.all([
        dueIn('verificationToken', query),
        dueIn('resetToken', query),
      ]);
      return [...verification, ...reset]
        .sort((a, b) => Number(a.token.mailDueAt) - Number(b.token.mailDueAt))
        .slice(0, query.limit);
    },

    async moveMailDue({ purpose, tokenId, from, to }) {
      const result = await change<MailPurpose, 'changed'>(scope, purpose, tokenId, (token) =>
        transitions.moveMailDue(token, { from, to }),
      );
      return result !== null && 'done' in result;
    },
  };

  async function insertReset(token: Omit<ResetTokenRecord, 'stamp'>): Promise<void> {
    assertMayWrite(context);
    await db
      .insertInto('password_reset_tokens')
      .values(newRow('resetToken', token, context))
      .execute();
    context.onWrite?.('resetToken', token.id);
  }

  async function dueIn<E extends MailPurpose>(
    purpose: E,
    { now, limit }: { readonly now: Date; readonly limit: number },
  ): Promise<readonly DueMail[]> {
    const { rows } = await sql<RowOf<E>>`
      select ${columnList(TABLES[purpose])} from ${sql.table(TABLES[purpose])}
      where mail_due_at <= ${now} and expires_at > ${now} order by mail_due_at limit ${limit}
    `.execute(db);
    return rows.map((row) => ({ purpose, token: fromRow[purpose](row) }));
  }
}

function joinedUser(row: Readonly<Record<string, unknown>>): UserRecord | null {
  const user = unprefixed(row, 'users', 'u_');
  return user === null ? null : fromRow.user(user);
}
