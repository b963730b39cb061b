import pg from 'pg';
import { EmailTaken, IdTaken, StoreUnavailable } from '../errors.ts';
import { ENTITIES } from '../records.ts';
import { TABLES } from './database.ts';

/**
 * How far an operation had come when it failed: still without a connection; a statement that commits nothing by
 * itself (a read, or one inside an open transaction); or one that commits (a lone write, or COMMIT).
 */
export type Phase = 'connecting' | 'uncommitted' | 'committing';

/** The only place where what `pg` and the server report becomes an error of the port. */
export function toStoreError(error: unknown, phase: Phase): Error {
  if (error instanceof StoreUnavailable) return error;
  if (error instanceof pg.DatabaseError) return fromServer(error, phase);
  const cause = error instanceof Error ? error : new Error(String(error));
  if (phase === 'connecting') {
    const reason = cause.message.startsWith('timeout exceeded') ? 'overloaded' : 'connect';
    return new StoreUnavailable('postgres', 'none', reason, { cause });
  }
  const outcome = phase === 'committing' ? 'unknown' : 'none';
  if (cause.message === 'Query read timeout') {
    return new StoreUnavailable('postgres', outcome, 'timeout', { cause });
  }
  return isConnectionLoss(cause)
    ? new StoreUnavailable('postgres', outcome, 'connection-lost', { cause })
    : cause;
}

/** The server refused a statement. Its own message quotes the row, so it must not travel. */
export class StatementRefused extends Error {
  override readonly name = 'StatementRefused';
  readonly code: string;
  /** Null when the refusal names none. */
  readonly constraint: string | null;
  constructor(code: string, constraint: string | null) {
    super(`PostgreSQL refused a statement: ${code} ${constraint ?? ''}`.trimEnd());
    this.code = code;
    this.constraint = constraint;
  }
}

/** For questions that may come before the first migration: a database without the table holds nothing. */
export function emptyWhenNoTable(error: unknown): { readonly rows: never[] } {
  if (error instanceof StatementRefused && error.code === '42P01') return { rows: [] };
  throw error;
}

/** Whether the connection is of no more use: it is gone, still runs a query nobody waits for, or holds stale plans. */
export function isFatal(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true;
  return endsConnection(error) || error.code === '0A000' || error.code === '26000';
}

/**
 * What a server may end a connection with: trouble with the connection, its user or its database, resources, an operator
 * or a time-out, the system, its configuration, itself; and what has no code. Everything else is about a statement.
 */
const MAY_END_CONNECTION = /^(08|25P0[34]|28|3D|53|57P|58|F0|XX|$)/;

/**
 * Whether the server ended the connection with this error. The driver gives the severity in the server's own language only
 * (`lc_messages`): in another than English the code decides, and what may have ended it passes for having done so.
 */
export function endsConnection({ severity, code = '' }: pg.DatabaseError): boolean {
  if (severity === 'ERROR') return false;
  return severity === 'FATAL' || severity === 'PANIC' || MAY_END_CONNECTION.test(code);
}

/** The server rolled this transaction back so that another could go on. */
export function isDeadlock(error: unknown): boolean {
  const cause = error instanceof StoreUnavailable ? error.cause : null;
  return cause instanceof pg.DatabaseError && cause.code === '40P01';
}

const UNAVAILABLE: Readonly<Record<string, StoreUnavailable['reason']>> = {
  '57014': 'timeout',
  '55P03': 'contention',
  '40P01': 'contention',
  '40001': 'contention',
  '25006': 'read-only',
  '42501': 'forbidden',
  '57P03': 'connect',
  '53100': 'disk-full',
};

function fromServer(error: pg.DatabaseError, phase: Phase): Error {
  const code = error.code ?? '';
  // An ERROR has rolled its statement back; a FATAL may have struck after the commit, before its acknowledgement.
  const isOver = endsConnection(error);
  const outcome = isOver && phase === 'committing' ? 'unknown' : 'none';
  const unavailable = (reason: StoreUnavailable['reason']) =>
    new StoreUnavailable('postgres', outcome, reason, { cause: error });
  const known = UNAVAILABLE[code];
  if (known !== undefined) return unavailable(known);
  if (code.startsWith('53')) return unavailable('overloaded');
  if (phase === 'connecting') return unavailable('connect');
  if (code.startsWith('08') || isOver) return unavailable('connection-lost');
  if (code === '23505') {
    if (error.constraint === 'users_email_key_unique') return new EmailTaken();
    const entity = ENTITIES.find((each) => error.constraint === `${TABLES[each]}_pkey`);
    if (entity !== undefined) return new IdTaken(entity);
  }
  return new StatementRefused(code, error.constraint ?? null);
}

function isConnectionLoss(error: Error): boolean {
  const code = 'code' in error ? error.code : undefined;
  return (
    (typeof code === 'string' && /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_)/.test(code)) ||
    /^Connection terminated|connection error|^Client was closed/i.test(error.message)
  );
}
