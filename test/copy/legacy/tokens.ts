/** Mailed tokens of old services, and their rows. The hashes are the well-known SHA-256 of these words. */
import { BROKEN, type LegacyCase } from './cases.ts';

const USER = { $oid: '600000000000000000000001' };
const USER_ID = '600000000000000000000001';
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const HELLO = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
const PASSWORD = '5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8';
const TEST = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
const DIGITS = '8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92';
const HASHED = '1a06df824ed741b53c785079a6347f00eec5af82f9850775409ca69dff4068a6';
const DIGITS_WORD = 'cc6b6bad31a0ff4d6dfd4953a6346a1c463d884723898a2af964b998e5499e22';
const EMBEDDED = '9289140b1ac28dbda1437b283e6ca608e33186654e7d3a995da268c35906cd4c';
const USED = 'f839161355091fcd9e33f571e0b11c60217a5009f9973e769c13d7858db162cc';
const TAKEN = '99341d56cc28805370b9f449c044a4cf00a1e7eb003362116c814fd96899c55c';
/** Of `tok` and four times U+FFFD. */
const REPLACED = '699d498c5041a253e8b022943c5dc490a14fb15207b84d4ac110cd5ef9d4bdf7';
const HELLO_WORLD = 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9';
/** 2021-02-03T04:05:06.789Z, and the first moment of 2099. */
const T0 = { $date: { $numberLong: '1612325106789' } };
const LATER = { $date: { $numberLong: '4070908800000' } };
const CREATED = '2021-02-03T04:05:06.789Z';
const ENDS = '2099-01-01T00:00:00.000Z';

const legacy = (last: string, token: unknown, given: object = {}) => ({
  _id: { $oid: `6000000000000000000001${last}` },
  userId: USER,
  token,
  createdAt: T0,
  expiresAt: LATER,
  ...given,
});

// biome-ignore format: a row is a line.
export const VERIFICATION_TOKENS: readonly LegacyCase[] = [
  { what: 'in clear', document: legacy('01', 'abc'),
    row: ['600000000000000000000101', USER_ID, ABC, null, CREATED, ENDS, null, 0, 0, null] },
  { what: 'of a user who is named by text', document: legacy('02', 'hello', { userId: ' 600000000000000000000001 ' }),
    row: ['600000000000000000000102', USER_ID, HELLO, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['userId: reference-as-text'] },
  { what: 'of a user who does not exist', document: legacy('03', 'password', { userId: { $oid: '6F00000000000000000000FF' } }),
    row: ['600000000000000000000103', '6f00000000000000000000ff', PASSWORD, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['userId: dangling'] },
  { what: 'long expired', document: legacy('04', 'old', { expiresAt: T0 }), left: 'expired' },
  { what: 'of digits, as a number', document: legacy('05', { $numberInt: '123456' }),
    row: ['600000000000000000000105', USER_ID, DIGITS, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['token: converted'] },
  { what: 'without an end', document: legacy('06', 'hello world', { createdAt: LATER, expiresAt: null }),
    row: ['600000000000000000000106', USER_ID, HELLO_WORLD, null, ENDS, ENDS, null, 0, 0, null],
    cleaned: ['expiresAt: derived'] },
  { what: 'that ends on a day without dashes', document: legacy('10', 'digits', { expiresAt: '20990101' }),
    row: ['600000000000000000000110', USER_ID, DIGITS_WORD, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['expiresAt: converted'] },
  { what: 'that was used', document: legacy('11', 'used', { createdAt: LATER, expiresAt: { $date: { $numberLong: '4070908900000' } }, used: true }),
    row: ['600000000000000000000111', USER_ID, USED, null, ENDS, ENDS, null, 0, 0, null],
    cleaned: ['used: used'] },
  { what: 'a stub', document: { _id: { $oid: '600000000000000000000107' }, __v: { $numberInt: '0' } },
    bad: ['_id: stub', 'token: missing', 'userId: missing'] },
  { what: 'that another document has as well', document: legacy('08', 'test'),
    row: ['600000000000000000000108', USER_ID, TEST, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['token: duplicate-token'] },
  { what: 'of that other document', document: legacy('09', 'test', { userId: { $oid: '600000000000000000000002' } }),
    row: ['600000000000000000000109', '600000000000000000000002', TEST, null, CREATED, ENDS, null, 0, 0, null],
    cleaned: ['token: duplicate-token'] },
];

// biome-ignore format: a row is a line.
export const RESET_TOKENS: readonly LegacyCase[] = [
  { what: 'in clear', document: legacy('21', 'hello world'),
    row: ['600000000000000000000121', USER_ID, HELLO_WORLD, null, CREATED, ENDS, null, 0, 0, null, 0] },
  { what: 'of a user who is embedded whole', document: legacy('22', 'abc', { userId: { _id: USER, email: 'u01@example.org' } }),
    row: ['600000000000000000000122', USER_ID, ABC, null, CREATED, ENDS, null, 0, 0, null, 0],
    cleaned: ['userId: converted'] },
  { what: 'of a user by DBRef, in other fields, with times as text', document: { _id: { $oid: '600000000000000000000123' }, user: { $ref: 'users', $id: USER }, token: 'hello', created: '2021-02-03T04:05:06.789Z', expires: '2099-01-01' },
    row: ['600000000000000000000123', USER_ID, HELLO, null, CREATED, ENDS, null, 0, 0, null, 0],
    cleaned: ['userId: other-field', 'userId: converted', 'createdAt: other-field', 'createdAt: converted', 'expiresAt: other-field', 'expiresAt: converted'] },
  { what: 'hashed already', document: legacy('24', `sha256:${TEST}`),
    row: ['600000000000000000000124', USER_ID, TEST, null, CREATED, ENDS, null, 0, 0, null, 0] },
  { what: 'of a user who is named by text, under a version of another program', document: legacy('28', 'hashed', { userId: '600000000000000000000001', version: { $numberInt: '1' } }),
    row: ['600000000000000000000128', USER_ID, HASHED, null, CREATED, ENDS, null, 0, 0, null, 0],
    cleaned: ['version: foreign-stamp', 'userId: reference-as-text'] },
  { what: 'of a user who is embedded with an id as extended JSON', document: legacy('29', 'embedded'), literal: { userId: { _id: { $oid: '600000000000000000000001' } } },
    row: ['600000000000000000000129', USER_ID, EMBEDDED, null, CREATED, ENDS, null, 0, 0, null, 0],
    cleaned: ['userId: converted'] },
  { what: 'that was taken out, of a user as Node prints the id', document: legacy('30', 'taken', { createdAt: LATER, expiresAt: { $date: { $numberLong: '4070908900000' } }, userId: 'new ObjectId("600000000000000000000001")', deletedAt: T0 }),
    row: ['600000000000000000000130', USER_ID, TAKEN, null, ENDS, ENDS, null, 0, 0, null, 0],
    cleaned: ['deletedAt: used', 'userId: reference-as-text'] },
  { what: 'that is not UTF-8', document: legacy('31', `tok${BROKEN}`),
    row: ['600000000000000000000131', USER_ID, REPLACED, null, CREATED, ENDS, null, 0, 0, null, 0],
    cleaned: ['token: invalid-utf8'] },
  { what: 'of several users', document: legacy('25', 'password', { userId: [USER] }), bad: ['userId: not-a-scalar'] },
  { what: 'empty', document: legacy('26', ''), bad: ['token: empty'] },
  { what: 'an object instead', document: legacy('27', { clear: 'abc' }), bad: ['token: not-a-scalar'] },
];
