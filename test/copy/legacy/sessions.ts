/** Sessions: those of this service, and what others left in the same collection. */
import type { LegacyCase } from './cases.ts';

const USER_ID = '600000000000000000000001';
const DIGEST = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const PREVIOUS = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const T0 = { $date: { $numberLong: '1612325106789' } };
const LATER = { $date: { $numberLong: '4070908800000' } };
const AT = '2021-02-03T04:05:06.789Z';
const ENDS = '2099-01-01T00:00:00.000Z';
/** 300 characters, each of two UTF-16 units. */
const AGENT = '😀'.repeat(300);

const session = (last: string, given: object) => ({
  _id: { $oid: `6000000000000000000002${last}` },
  userId: { $oid: USER_ID },
  generation: { $numberInt: '0' },
  tokenHash: DIGEST,
  previousTokenHash: PREVIOUS,
  rotation: { $numberInt: '3' },
  keyId: 'k1',
  createdAt: T0,
  rotatedAt: T0,
  idleExpiresAt: LATER,
  expiresAt: LATER,
  revokedAt: null,
  revokedReason: null,
  userAgent: 'agent',
  epoch: { $numberInt: '1' },
  version: { $numberInt: '4' },
  ...given,
});

// biome-ignore format: a row is a line.
export const SESSIONS: readonly LegacyCase[] = [
  { what: 'of this service', document: session('01', {}),
    row: ['600000000000000000000201', USER_ID, 0, DIGEST, PREVIOUS, 3, 'k1', AT, AT, ENDS, ENDS, null, null, 'agent', 1, 4, null] },
  { what: 'with an endless user agent', document: session('02', { userAgent: AGENT }),
    row: ['600000000000000000000202', USER_ID, 0, DIGEST, PREVIOUS, 3, 'k1', AT, AT, ENDS, ENDS, null, null, '😀'.repeat(256), 1, 4, null],
    cleaned: ['userAgent: too-long'] },
  { what: 'ended for a reason nobody knows', document: session('03', { revokedAt: T0, revokedReason: 'boredom' }),
    row: ['600000000000000000000203', USER_ID, 0, DIGEST, PREVIOUS, 3, 'k1', AT, AT, ENDS, ENDS, AT, 'ended', 'agent', 1, 4, null],
    cleaned: ['revokedReason: unreadable'] },
  { what: 'of nobody', document: session('04', { userId: { $oid: '6f00000000000000000000ff' } }), left: 'dangling' },
  { what: 'past retention', document: session('05', { expiresAt: T0 }), left: 'expired' },
  { what: 'of a user who is put aside', document: session('06', { userId: { $oid: '600000000000000000000050' } }), bad: ['userId: user-put-aside'] },
  { what: 'of another program', document: { _id: 'LpkQ', expires: LATER, session: '{"cookie":{}}' },
    bad: ['expiresAt: missing', 'keyId: missing', 'tokenHash: missing', 'userId: missing'] },
];
