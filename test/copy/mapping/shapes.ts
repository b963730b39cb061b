/** Documents as the systems of docs/mappings write them, and by hand what they mean. */
import { ObjectId } from 'bson';
import type { UserRecord } from '../../../db/records.ts';
import { HASH } from '../../mongo/legacy.ts';

type Doc = Readonly<Record<string, unknown>>;

export interface Shape {
  /** In docs/mappings. */
  readonly file: string;
  readonly users: readonly { readonly doc: Doc; readonly record: Partial<UserRecord> }[];
  readonly verificationTokens?: readonly Doc[];
  /** What the report names. */
  readonly unknown: readonly string[];
  /** Where the first document must still hold exactly this after its user was verified, and written by the mirror. */
  readonly kept: Doc;
  /** What its user becomes verified by. */
  readonly verified: Doc;
  /** What a tombstone must hold, when it is to hold more than `deletedAt`. */
  readonly tombstone?: Doc;
}

const CREATED = new Date('2019-05-06T07:08:09.123Z');
const UPDATED = new Date('2022-05-06T07:08:09.456Z');
const times = { createdAt: CREATED, updatedAt: UPDATED };
const id = (): ObjectId => new ObjectId();
/** bcrypt over the SHA-256 of the password, as Meteor makes it: looks like any other, and matches no password. */
const METEOR_HASH = HASH.replace('$2a$10$', '$2b$10$');

export const SHAPES: readonly Shape[] = [
  {
    file: 'passport',
    users: [
      {
        doc: {
          _id: id(),
          local: { email: 'Ann@Example.org', password: HASH, phone: '1' },
          name: 'Ann',
          ...times,
        },
        record: { email: 'Ann@Example.org', emailKey: 'ann@example.org', passwordHash: HASH, name: 'Ann' },
      },
      {
        doc: {
          _id: id(),
          google: { email: 'bob@example.org', name: 'Bob', token: 'x' },
          local: { verified: true },
          ...times,
        },
        record: { email: 'bob@example.org', passwordHash: null, name: 'Bob', isVerified: true },
      },
      {
        doc: { _id: id(), local: null, facebook: { email: 'c@example.org' } },
        record: { email: 'c@example.org' },
      },
    ],
    unknown: ['user.google.token', 'user.local.phone'],
    kept: { 'local.email': 'Ann@Example.org', 'local.password': HASH, 'local.phone': '1', name: 'Ann' },
    verified: { 'local.verified': true },
  },
  {
    file: 'meteor',
    users: [
      {
        doc: {
          _id: 'Xk3mN8pQr5tVw7yZa',
          emails: [
            { address: 'ann@example.org', verified: false, label: 'home' },
            { address: 'other@example.org', verified: true },
          ],
          services: { password: { bcrypt: METEOR_HASH }, resume: { loginTokens: [] } },
          profile: { name: 'Ann' },
          createdAt: CREATED,
        },
        // Everybody resets: the hash is of something else than the password.
        record: {
          email: 'ann@example.org',
          passwordHash: null,
          name: 'Ann',
          isVerified: false,
          updatedAt: CREATED,
        },
      },
    ],
    unknown: ['user.emails.*', 'user.emails.0.label', 'user.services'],
    kept: {
      'services.password.bcrypt': METEOR_HASH,
      'emails.0.label': 'home',
      'emails.1.address': 'other@example.org',
      'profile.name': 'Ann',
    },
    verified: { 'emails.0.verified': true },
  },
  {
    file: 'authjs',
    users: [
      {
        doc: {
          _id: id(),
          name: 'Ann',
          email: 'ann@example.org',
          emailVerified: null,
          image: 'https://x/y.png',
        },
        record: { email: 'ann@example.org', isVerified: false, passwordHash: null },
      },
      {
        doc: {
          _id: id(),
          name: 'Bob',
          email: 'bob@example.org',
          emailVerified: UPDATED,
          hashedPassword: HASH,
        },
        record: { isVerified: true, passwordHash: HASH },
      },
    ],
    unknown: ['user.image'],
    kept: { email: 'ann@example.org', image: 'https://x/y.png' },
    // A date, as the old service writes it.
    verified: { emailVerified: 'date' },
  },
  {
    file: 'parse',
    users: [
      {
        doc: {
          _id: 'Ed1nuqPvcm',
          username: 'ann',
          email: 'ann@example.org',
          emailVerified: false,
          _hashed_password: HASH,
          _wperm: ['Ed1nuqPvcm'],
          _acl: { '*': { r: true } },
          _created_at: CREATED,
          _updated_at: UPDATED,
        },
        record: { id: 'Ed1nuqPvcm', passwordHash: HASH, createdAt: CREATED, updatedAt: UPDATED, name: '' },
      },
    ],
    unknown: ['user._acl', 'user._wperm'],
    kept: { _hashed_password: HASH, username: 'ann', _wperm: ['Ed1nuqPvcm'], _created_at: CREATED },
    verified: { emailVerified: true, _updated_at: 'date' },
  },
  {
    file: 'devise',
    users: [
      {
        doc: {
          _id: id(),
          email: 'ann@example.org',
          encrypted_password: HASH,
          first_name: 'Ann',
          last_name: 'Lee',
          confirmed_at: null,
          sign_in_count: 4,
          created_at: CREATED,
          updated_at: UPDATED,
        },
        record: { name: 'Ann Lee', isVerified: false, passwordHash: HASH, createdAt: CREATED },
      },
      {
        doc: {
          _id: id(),
          email: 'b@example.org',
          confirmed_at: CREATED,
          deleted_at: UPDATED,
          created_at: CREATED,
        },
        record: { email: null, deletedAt: UPDATED, isVerified: true },
      },
    ],
    unknown: ['user.sign_in_count'],
    kept: { first_name: 'Ann', last_name: 'Lee', encrypted_password: HASH, sign_in_count: 4 },
    verified: { confirmed_at: 'date', updated_at: 'date' },
  },
  {
    file: 'keystone',
    users: [
      {
        doc: {
          _id: id(),
          email: 'ann@example.org',
          name: { first: 'Ann', last: 'Lee' },
          password: HASH,
          isAdmin: true,
          createdAt: CREATED.toISOString(),
          updatedAt: UPDATED.toISOString(),
        },
        record: { name: 'Ann Lee', createdAt: CREATED, updatedAt: UPDATED },
      },
    ],
    unknown: ['user.isAdmin'],
    kept: { 'name.first': 'Ann', isAdmin: true, createdAt: CREATED.toISOString() },
    verified: { isVerified: true, updatedAt: 'text' },
  },
  {
    file: 'status',
    users: [
      {
        doc: {
          _id: id(),
          contact: { email: ' Ann@example.org', city: 'Ghent' },
          secret: { hash: 'md5:nothing', salt: 's' },
          firstName: 'Ann',
          status: 'pending',
          enabled: true,
          created_ms: CREATED.getTime(),
          updated_ms: UPDATED.getTime(),
        },
        record: {
          email: 'Ann@example.org',
          name: 'Ann',
          passwordHash: null,
          isVerified: false,
          createdAt: CREATED,
          updatedAt: UPDATED,
        },
      },
      {
        doc: { _id: id(), contact: { email: 'b@example.org' }, status: 'Verified', secret: { hash: HASH } },
        record: { isVerified: true, passwordHash: HASH, deletedAt: null },
      },
      {
        doc: {
          _id: id(),
          contact: { email: 'c@example.org' },
          status: 'closed',
          created_ms: CREATED.getTime(),
          updated_ms: UPDATED.getTime(),
        },
        record: { email: null, deletedAt: UPDATED, isVerified: false },
      },
      {
        doc: {
          _id: id(),
          contact: { email: 'd@example.org' },
          enabled: false,
          created_ms: CREATED.getTime(),
          updated_ms: UPDATED.getTime(),
        },
        record: { email: null, deletedAt: UPDATED },
      },
    ],
    verificationTokens: [
      {
        _id: id(),
        account: 'a'.repeat(24),
        code: 'clear',
        issued: 1_900_000_000.25,
        valid_until: 1_900_000_100,
      },
    ],
    unknown: ['user.contact.city', 'user.secret.salt'],
    // The refused hash too.
    kept: { 'contact.city': 'Ghent', 'secret.hash': 'md5:nothing', 'secret.salt': 's', firstName: 'Ann' },
    verified: { status: 'active', updated_ms: 'number' },
    tombstone: { enabled: false },
  },
];
