import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { isFatal, type Phase, toStoreError } from '../../db/postgres/errors.ts';

function said(severity: string, code: string, constraint?: string): pg.DatabaseError {
  const error = new pg.DatabaseError('said in its own words', 0, 'error');
  return Object.assign(error, { severity, code, constraint });
}

/** As servers in English, German, Russian and Japanese say them. */
const ERRORS = ['ERROR', 'FEHLER', 'ОШИБКА', 'エラー'];
const FATALS = ['FATAL', 'ВАЖНО', '致命的エラー'];
const PANICS = ['PANIC', 'PANIK', 'ПАНИКА', 'パニック'];

describe('what a server refuses, in any language', () => {
  it.each(ERRORS)('%s is about a statement, and the connection goes on', (severity) => {
    for (const phase of ['uncommitted', 'committing'] satisfies Phase[]) {
      const name = (code: string, constraint?: string) =>
        toStoreError(said(severity, code, constraint), phase).name;
      expect(name('23505', 'users_email_key_unique')).toBe('EmailTaken');
      expect(name('23505', 'sessions_pkey')).toBe('IdTaken');
      for (const code of ['23503', '42P01', '22P02', '25P02', 'P0001']) {
        expect(toStoreError(said(severity, code), phase)).toMatchObject({ name: 'StatementRefused', code });
        expect(isFatal(said(severity, code))).toBe(false);
      }
    }
  });

  it.each(ERRORS)('%s with trouble that passes has left no trace', (severity) => {
    for (const [code, reason] of [
      ['57014', 'timeout'],
      ['55P03', 'contention'],
      ['40001', 'contention'],
      ['40P01', 'contention'],
      ['25006', 'read-only'],
      ['42501', 'forbidden'],
    ] as const) {
      const error = said(severity, code);
      expect(toStoreError(error, 'committing')).toMatchObject({ outcome: 'none', reason });
      expect(isFatal(error)).toBe(false);
    }
  });
});

describe('what ends a connection, in any language', () => {
  it.each(FATALS)('%s while committing leaves the outcome open', (severity) => {
    for (const [code, reason] of [
      ['57P01', 'connection-lost'],
      ['57P02', 'connection-lost'],
      ['57P05', 'connection-lost'],
      ['25P03', 'connection-lost'],
      ['25P04', 'connection-lost'],
      ['08006', 'connection-lost'],
      ['XX000', 'connection-lost'],
      ['58030', 'connection-lost'],
      ['53200', 'overloaded'],
    ] as const) {
      const error = said(severity, code);
      expect(toStoreError(error, 'committing')).toMatchObject({ outcome: 'unknown', reason });
      expect(toStoreError(error, 'uncommitted')).toMatchObject({ outcome: 'none', reason });
      expect(isFatal(error)).toBe(true);
    }
  });

  it.each(PANICS)('%s for a journal that cannot be written leaves it open, too', (severity) => {
    for (const [code, reason] of [
      ['53100', 'disk-full'],
      ['58030', 'connection-lost'],
    ] as const) {
      const error = said(severity, code);
      expect(toStoreError(error, 'committing')).toMatchObject({ outcome: 'unknown', reason });
      expect(isFatal(error)).toBe(true);
    }
  });

  it.each(FATALS)('%s before there was a connection has done nothing', (severity) => {
    for (const [code, reason] of [
      ['28P01', 'connect'],
      ['3D000', 'connect'],
      ['57P03', 'connect'],
      ['53300', 'overloaded'],
    ] as const) {
      expect(toStoreError(said(severity, code), 'connecting')).toMatchObject({ outcome: 'none', reason });
    }
  });

  it('an ERROR in English is none of them, whatever it is about', () => {
    for (const code of ['XX000', '58P01', '53100']) expect(isFatal(said('ERROR', code))).toBe(false);
    expect(toStoreError(said('ERROR', '53100'), 'committing')).toMatchObject({ outcome: 'none' });
  });
});
