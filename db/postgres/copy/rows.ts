/** Records as lines of COPY's text format. */
import { ID_BYTES_MAX } from '../../ids.ts';
import type { Entity, RecordOf } from '../../records.ts';
import { toRow } from '../rows.ts';

const KEY_BYTES_MAX = ID_BYTES_MAX;
/** No request could have brought a longer one; pages of rows are read at once, and must fit into the memory. */
const TEXT_BYTES_MAX = 65_536;
const INTEGER_MAX = 2_147_483_647;

export interface Misfit {
  readonly field: string;
  readonly reason: 'too-long' | 'out-of-range' | 'empty' | 'unreadable';
}

/** Why the live tables cannot take a record; null when they can. */
export function misfitOf<E extends Entity>(record: RecordOf[E]): Misfit | null {
  for (const [field, value] of Object.entries(record)) {
    if (typeof value === 'number' && value > INTEGER_MAX) return { field, reason: 'out-of-range' };
    if (typeof value !== 'string') continue;
    if (value.includes('\0') || !value.isWellFormed()) return { field, reason: 'unreadable' };
    if (KEYS.has(field) && value === '') return { field, reason: 'empty' };
    const max = KEYS.has(field) ? KEY_BYTES_MAX : TEXT_BYTES_MAX;
    if (value.length * 4 > max && Buffer.byteLength(value) > max) return { field, reason: 'too-long' };
  }
  const { epoch, version } = record.stamp;
  return epoch > INTEGER_MAX || version > INTEGER_MAX ? { field: 'version', reason: 'out-of-range' } : null;
}

const KEYS: ReadonlySet<string> = new Set(['id', 'userId', 'emailKey', 'email', 'keyId', 'tokenHash']);

/** The columns of a line, in its order. */
export function columnsOf(entity: Entity): readonly string[] {
  return COPY_COLUMNS[entity];
}

const MAILED = ['id', 'user_id', 'token_hash', 'nonce', 'created_at', 'expires_at', 'mail_due_at'] as const;

const COPY_COLUMNS: Readonly<Record<Entity, readonly string[]>> = {
  user: [
    'id',
    'email',
    'email_key',
    'name',
    'password_hash',
    'is_verified',
    'verified_with',
    'session_generation',
    'reset_generation',
    'created_at',
    'updated_at',
    'deleted_at',
    'epoch',
    'version',
  ],
  verificationToken: [...MAILED, 'epoch', 'version'],
  resetToken: [...MAILED, 'generation', 'epoch', 'version'],
  session: [
    'id',
    'user_id',
    'generation',
    'token_hash',
    'previous_token_hash',
    'rotation',
    'key_id',
    'created_at',
    'rotated_at',
    'idle_expires_at',
    'expires_at',
    'revoked_at',
    'revoked_reason',
    'user_agent',
    'epoch',
    'version',
  ],
};

/** What staging knows of a record besides the record. */
export interface Staged {
  /** The number of the range it belongs to. */
  readonly range: number;
  /** Marked as pending when it was read: it is for the mirror to write it, and staging only for the checks. */
  readonly isMarked: boolean;
}

/** One line, its newline included. */
export function toLine<E extends Entity>(
  entity: E,
  record: RecordOf[E],
  { range, isMarked }: Staged,
): string {
  const row: Readonly<Record<string, unknown>> = { ...toRow[entity](record), ...record.stamp };
  let line = `${range}\t${isMarked}`;
  for (const column of COPY_COLUMNS[entity]) line += `\t${toField(row[column])}`;
  return `${line}\n`;
}

function toField(value: unknown): string {
  if (value === null || value === undefined) return '\\N';
  if (typeof value === 'string') return SPECIAL.test(value) ? escapeField(value) : value;
  if (value instanceof Date) return value.toISOString();
  return String(value);
}

const SPECIAL = /[\\\t\n\r\b\f\v]/;
const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
};

function escapeField(text: string): string {
  return text.replace(/[\\\t\n\r\b\f\v]/g, (special) => ESCAPES[special] ?? special);
}
