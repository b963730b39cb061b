/**
 * The canonical record as a document: the old service's field names and types, with ours next to them. Reading it
 * back gives the same record.
 */

import type { Doc } from '../bson.ts';
import type {
  Entity,
  MailedToken,
  RecordOf,
  ResetTokenRecord,
  SessionRecord,
  Stamp,
  UserRecord,
} from '../records.ts';
import { SESSION_FIELDS } from './fields.ts';
import { referenceValue } from './read.ts';
import { HASHED } from './token.ts';

/** Every field we own. Throws when an id in the record is none that `encodeId` gives. */
export function toDocument<E extends Entity>(entity: E, record: RecordOf[E]): Doc;
export function toDocument(entity: Entity, record: RecordOf[Entity]): Doc {
  switch (entity) {
    case 'user':
      return userDocument(record as UserRecord);
    case 'verificationToken':
      return tokenDocument(record as MailedToken);
    case 'resetToken':
      return {
        ...tokenDocument(record as ResetTokenRecord),
        generation: (record as ResetTokenRecord).generation,
      };
    case 'session':
      return sessionDocument(record as SessionRecord);
  }
}

function userDocument(user: UserRecord): Doc {
  return {
    _id: referenceValue(user.id),
    // A unique index on `email` would let a single document go without one, so a tombstone keeps a made-up address.
    email: user.email ?? `erased-${user.id}@invalid`,
    emailKey: user.emailKey ?? false,
    name: user.name,
    password: user.passwordHash ?? '',
    isVerified: user.isVerified,
    verifiedWith: user.verifiedWith,
    sessionGeneration: user.sessionGeneration,
    resetGeneration: user.resetGeneration,
    createdAt: user.createdAt,
    updatedAt: user.updatedAt,
    deletedAt: user.deletedAt,
    ...stampFields(user.stamp),
  };
}

function tokenDocument(token: MailedToken): Doc {
  return {
    _id: referenceValue(token.id),
    userId: referenceValue(token.userId),
    token: HASHED + token.tokenHash,
    nonce: token.nonce,
    createdAt: token.createdAt,
    expiresAt: token.expiresAt,
    mailDueAt: token.mailDueAt,
    ...stampFields(token.stamp),
  };
}

function sessionDocument(session: SessionRecord): Doc {
  const fields = Object.fromEntries(SESSION_FIELDS.map((field) => [field, session[field]]));
  return {
    _id: referenceValue(session.id),
    ...fields,
    userId: referenceValue(session.userId),
    ...stampFields(session.stamp),
  };
}

function stampFields(stamp: Stamp): Doc {
  return { epoch: stamp.epoch, version: stamp.version };
}
