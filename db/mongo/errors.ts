/** Driver errors as the port's. A write that got no answer has an unknown outcome, never a failed one. */
import mongoose from 'mongoose';
import { EmailTaken, IdTaken, StoreUnavailable } from '../errors.ts';
import type { Entity } from '../records.ts';

const { mongo } = mongoose;

type Reason = StoreUnavailable['reason'];

const NOT_PRIMARY = new Set([10107, 13435, 10058]);
/**
 * A primary that steps down or shuts down may have committed what it was doing; so may one that the server in between
 * (mongos) has lost.
 */
const INTERRUPTED = new Set([6, 7, 91, 133, 189, 9001, 11600, 11601, 11602, 13436]);
/** A cursor that was killed, or outlived its primary, and a plan whose index went. */
const READ_ENDED = new Set([43, 175, 237]);
/** 64: the write is there, but not on as many members as were asked for. */
const OUT_OF_TIME = new Set([50, 64, 89, 202, 262]);
/** Another write, or a lock, was in the way. One document's write was taken back; of several, some may be done. */
const CONTENTION = new Set([24, 112]);
const NOT_LET_IN = new Set([18, 8000]);
const NOT_ALLOWED = 13;
/** Its cache is full. */
const TEMPORARILY_UNAVAILABLE = 365;
const OUT_OF_DISK_SPACE = 14031;
/** A member that has only just begun does not know yet what a majority holds. */
const MAJORITY_UNKNOWN = 134;
const DUPLICATE_KEY = 11000;
const DOCUMENT_VALIDATION_FAILURE = 121;

/** Whether it is of the store, not of the document: whoever asks again may be luckier. */
export function isTransient(code: number): boolean {
  if (code === TEMPORARILY_UNAVAILABLE || code === OUT_OF_DISK_SPACE) return true;
  return [NOT_PRIMARY, INTERRUPTED, OUT_OF_TIME, CONTENTION].some((codes) => codes.has(code));
}

/** The port's error for a failed operation; whatever is no trouble of the store comes back as it was. */
export function toStoreError(error: unknown, kind: 'read' | 'write'): unknown {
  const lost: StoreUnavailable['outcome'] = kind === 'write' ? 'unknown' : 'none';
  const unavailable = (outcome: StoreUnavailable['outcome'], reason: Reason) =>
    new StoreUnavailable('mongo', outcome, reason, { cause: error });

  if (error instanceof mongo.MongoWriteConcernError) return unavailable(lost, 'timeout');
  // Of a bulk that names no operation nobody knows how much was written, or is durable.
  if (error instanceof mongo.MongoBulkWriteError && [error.writeErrors].flat().length === 0)
    return unavailable(lost, 'timeout');
  if (error instanceof mongo.MongoServerError) {
    const code = Number(error.code);
    // With both labels the server had not begun.
    if (error.hasErrorLabel('SystemOverloadedError'))
      return unavailable(error.hasErrorLabel('RetryableError') ? 'none' : lost, 'overloaded');
    if (NOT_PRIMARY.has(code)) return unavailable('none', 'read-only');
    if (INTERRUPTED.has(code) || READ_ENDED.has(code)) return unavailable(lost, 'connection-lost');
    if (OUT_OF_TIME.has(code)) return unavailable(lost, 'timeout');
    if (CONTENTION.has(code)) return unavailable(lost, 'contention');
    if (code === TEMPORARILY_UNAVAILABLE) return unavailable(lost, 'overloaded');
    if (code === OUT_OF_DISK_SPACE) return unavailable(lost, 'disk-full');
    if (code === NOT_ALLOWED) return unavailable('none', 'forbidden');
    if (NOT_LET_IN.has(code) || code === MAJORITY_UNKNOWN) return unavailable('none', 'connect');
    return error;
  }
  if (error instanceof mongo.MongoServerSelectionError) return unavailable('none', 'connect');
  // A failed selection reaches us through mongoose under another name while it connects.
  if (error instanceof mongoose.Error.MongooseServerSelectionError) return unavailable('none', 'connect');
  if (isNamed(error, 'MongoWaitQueueTimeoutError')) return unavailable('none', 'overloaded');
  if (isNamed(error, 'MongoPoolClearedError', 'MongoPoolClosedError') || isBeforeHandshake(error))
    return unavailable('none', 'connect');
  if (error instanceof mongo.MongoNetworkTimeoutError) return unavailable(lost, 'timeout');
  if (error instanceof mongo.MongoNetworkError) return unavailable(lost, 'connection-lost');
  if (isNamed(error, 'MongoNotConnectedError', 'MongoTopologyClosedError', 'MongoClientClosedError')) {
    return unavailable(lost, 'connect');
  }
  // What the socket itself reports when it breaks under a write reaches us unwrapped.
  if (isBrokenSocket(error)) return unavailable(lost, 'connection-lost');
  return error;
}

/** Which unique index refused: fields of its key; null when the error is another. */
export function duplicateKey(error: unknown): readonly string[] | null {
  if (!(error instanceof mongo.MongoServerError) || error.code !== DUPLICATE_KEY) return null;
  const pattern: unknown = error['keyPattern'];
  if (typeof pattern === 'object' && pattern !== null) return Object.keys(pattern);
  // Servers before 4.2 name the index in the message only.
  return /index:\s*(?:\S*\$)?_id_/.test(error.message) ? ['_id'] : [];
}

/** For a write of a request's: what the old service's validator refuses is no bug of this service's, and may be mended. */
export function refusedByValidator(error: unknown): unknown {
  if (!(error instanceof mongo.MongoServerError) || error.code !== DOCUMENT_VALIDATION_FAILURE) return error;
  return new StoreUnavailable('mongo', 'none', 'validator', { cause: error });
}

/** The refusal of an insert as the port's error. */
export function takenError(entity: Entity, key: readonly string[]): EmailTaken | IdTaken {
  return entity === 'user' && !key.includes('_id')
    ? new EmailTaken('the e-mail is taken')
    : new IdTaken(entity);
}

function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

function isBrokenSocket(error: unknown): boolean {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' && /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET)/.test(code);
}

/** The connection was not even made, so nothing was sent on it. */
function isBeforeHandshake(error: unknown): boolean {
  return error instanceof mongo.MongoNetworkError && Reflect.get(error, 'beforeHandshake') === true;
}
