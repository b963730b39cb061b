import mongoose from 'mongoose';
import { describe, expect, it } from 'vitest';
import { toStoreError } from '../../db/mongo/errors.ts';

const { mongo } = mongoose;
const refusal = (code: number) => new mongo.MongoServerError({ code, message: 'no' });

describe('what a server says by code', () => {
  it.each([
    ['HostUnreachable', 6, 'unknown', 'connection-lost'],
    ['HostNotFound', 7, 'unknown', 'connection-lost'],
    ['NetworkTimeout', 89, 'unknown', 'timeout'],
    ['SocketException', 9001, 'unknown', 'connection-lost'],
    ['FailedToSatisfyReadPreference', 133, 'unknown', 'connection-lost'],
    ['NetworkInterfaceExceededTimeLimit', 202, 'unknown', 'timeout'],
    ['ShutdownInProgress', 91, 'unknown', 'connection-lost'],
    ['PrimarySteppedDown', 189, 'unknown', 'connection-lost'],
    ['MaxTimeMSExpired', 50, 'unknown', 'timeout'],
    ['WriteConcernFailed', 64, 'unknown', 'timeout'],
    ['LockTimeout', 24, 'unknown', 'contention'],
    ['WriteConflict', 112, 'unknown', 'contention'],
    ['Interrupted', 11601, 'unknown', 'connection-lost'],
    ['CursorNotFound', 43, 'unknown', 'connection-lost'],
    ['CursorKilled', 237, 'unknown', 'connection-lost'],
    ['QueryPlanKilled', 175, 'unknown', 'connection-lost'],
    ['TemporarilyUnavailable', 365, 'unknown', 'overloaded'],
    ['OutOfDiskSpace', 14031, 'unknown', 'disk-full'],
    ['NotWritablePrimary', 10107, 'none', 'read-only'],
    ['Unauthorized', 13, 'none', 'forbidden'],
  ] as const)('%s (%i): a write is %s, for %s; a read has left no trace', (_, code, outcome, reason) => {
    const unavailable = { name: 'StoreUnavailable', store: 'mongo', reason };
    expect(toStoreError(refusal(code), 'write')).toMatchObject({ ...unavailable, outcome });
    expect(toStoreError(refusal(code), 'read')).toMatchObject({ ...unavailable, outcome: 'none' });
  });

  it.each([
    [['SystemOverloadedError', 'RetryableError'], 'none'],
    [['SystemOverloadedError'], 'unknown'],
  ] as const)('a server that sheds load, with %o: a write is %s', (labels, outcome) => {
    const error = refusal(462);
    for (const label of labels) error.addErrorLabel(label);
    expect(toStoreError(error, 'write')).toMatchObject({ reason: 'overloaded', outcome });
  });

  it('of a bulk that was written, but to no majority, nobody knows what stays', () => {
    const error = Object.assign(Object.create(mongo.MongoBulkWriteError.prototype) as Error, {
      code: 10107,
      writeErrors: [],
    });
    expect(toStoreError(error, 'write')).toMatchObject({ reason: 'timeout', outcome: 'unknown' });
  });

  it('is no trouble of the store when it is about the statement', () => {
    const error = refusal(2);
    expect(toStoreError(error, 'write')).toBe(error);
  });
});
