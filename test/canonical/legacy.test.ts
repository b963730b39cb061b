/** Hand-written documents of old services, and what they mean. */
import { Decimal128, Double, Int32, Long, ObjectId, Timestamp } from 'bson';
import { describe, expect, it } from 'vitest';
import type { Doc } from '../../db/canonical.ts';
import {
  canonicalResetToken,
  canonicalSession,
  canonicalUser,
  canonicalVerificationToken,
} from './default.ts';

const _id = ObjectId.createFromHexString('5f000000aaaaaaaaaaaaaaaa');
const OF_ID = new Date(0x5f000000 * 1000);
const CREATED = new Date('2021-02-03T04:05:06.789Z');
const UPDATED = new Date('2022-02-03T04:05:06.789Z');
const HASH = `$2a$10$${'abcdefghij'.repeat(5)}abc`;
/** Of every one of these users. */
const SPELLED = 'email: letter-case';
const LEGACY: Doc = {
  _id,
  email: 'Ann@Example.org',
  name: 'Ann',
  password: HASH,
  isVerified: true,
  createdAt: CREATED,
  updatedAt: UPDATED,
  __v: 0,
};

function user(change: Doc, without: readonly string[] = []) {
  const doc = Object.fromEntries(
    Object.entries({ ...LEGACY, ...change }).filter(([f]) => !without.includes(f)),
  );
  const result = canonicalUser(doc);
  if ('bad' in result) throw new Error(JSON.stringify(result.bad));
  return { ...result.record, cleaned: result.cleaned.map(({ field, reason }) => `${field}: ${reason}`) };
}

function badUser(doc: Doc): readonly string[] {
  const result = canonicalUser(doc);
  return 'bad' in result ? result.bad.map(({ field, reason }) => `${field}: ${reason}`) : [];
}

describe('a legacy user', () => {
  it('is read as it is, without a stamp', () => {
    expect(user({})).toEqual({
      id: '5f000000aaaaaaaaaaaaaaaa',
      email: 'Ann@Example.org',
      emailKey: 'ann@example.org',
      name: 'Ann',
      passwordHash: HASH,
      isVerified: true,
      verifiedWith: null,
      sessionGeneration: 0,
      resetGeneration: 0,
      createdAt: CREATED,
      updatedAt: UPDATED,
      deletedAt: null,
      stamp: { epoch: 0, version: 0 },
      cleaned: ['email: letter-case'],
    });
  });

  it.each<[string, unknown, string, string]>([
    ['white space around it', '  Ann@Example.org\n', 'Ann@Example.org', 'email: white-space'],
    ['white space in it', 'Ann @Example. org', 'Ann@Example.org', 'email: white-space'],
    ['white space in a word of it', 'an n@exam ple.org', 'ann@example.org', 'email: white-space'],
    ['white space before a stop', 'ann@mail.example .org', 'ann@mail.example.org', 'email: white-space'],
    ['HTML entities', 'O&#39;Ann&amp;Bob@Example.org', "O'Ann&Bob@Example.org", 'email: html-escaped'],
    ['NUL', 'Ann\0@Example.org', 'Ann@Example.org', 'email: nul'],
    ['a lone surrogate', 'Ann\ud800@Example.org', 'Ann\ufffd@Example.org', 'email: lone-surrogate'],
  ])('e-mail with %s is cleaned', (_what, email, expected, finding) => {
    expect(user({ email })).toMatchObject({ email: expected, emailKey: expected.toLowerCase() });
    expect(user({ email }).cleaned).toContain(finding);
  });

  it('e-mail may be embedded', () => {
    const embedded = user({ emails: [{ address: 'Ann@Example.org', verified: true }] }, [
      'email',
      'isVerified',
    ]);
    expect(embedded).toMatchObject({ email: 'Ann@Example.org', isVerified: true });
    expect(embedded.cleaned).toEqual(['isVerified: other-field', 'email: other-field', 'email: letter-case']);
  });

  it.each<[string, Doc, string]>([
    ['absent', { _id, name: 'Ann' }, 'email: missing'],
    ['null', { _id, name: 'Ann', email: null }, 'email: missing'],
    ['an array', { _id, email: ['ann@example.org'] }, 'email: not-a-scalar'],
    ['a document', { _id, email: { $gt: '' } }, 'email: not-a-scalar'],
    ['behind two names', { _id, email: 'Ann Lee ann@example.org' }, 'email: unreadable'],
    ['behind a name', { _id, email: 'Ann lee@example.org' }, 'email: unreadable'],
    ['behind what it begins with', { _id, email: 'ann ann.lee@example.org' }, 'email: unreadable'],
    ['before a word', { _id, email: 'ann@example.org bob' }, 'email: unreadable'],
    ['before an escaped space and a word', { _id, email: 'ann@example.org&nbsp;bob' }, 'email: unreadable'],
    ['blank', { _id, email: ' \t' }, 'email: empty'],
  ])('e-mail that is %s is bad', (_what, doc, finding) => {
    expect(badUser(doc)).toContain(finding);
  });

  it('a stub is bad, and so is a document without _id', () => {
    expect(badUser({ _id })).toContain('_id: stub');
    expect(badUser({ email: 'ann@example.org' })).toContain('_id: missing');
  });

  it.each<[unknown, boolean]>([
    [true, true],
    ['true', true],
    ['Yes', true],
    ['1', true],
    [1, true],
    [new Int32(1), true],
    [Long.fromNumber(1), true],
    [UPDATED, true],
    ['2021-02-03T04:05:06Z', true],
    [new Date('1970-01-02T00:00:00Z'), true],
    [new Date('0001-01-01T00:00:00Z'), false],
    [new Date('9999-12-31T23:59:59.999Z'), false],
    ['0001-01-01T00:00:00Z', false],
    [new Date(0), false],
    ['1970-01-01 01:00:00+01:00', false],
    [{ $date: { $numberLong: '0' } }, false],
    [new Timestamp({ t: 0, i: 0 }), false],
    [false, false],
    ['false', false],
    ['0', false],
    ['', false],
    [0, false],
    [new Double(0), false],
    [null, false],
    [['true'], false],
    ['who knows', false],
  ])('verified: %s means %s', (isVerified, expected) => {
    expect(user({ isVerified }).isVerified).toBe(expected);
  });

  it.each(['verified', 'emailVerified', 'confirmedAt', 'email_verified'])(
    'verified may be called %s',
    (field) => {
      expect(user({ [field]: UPDATED }, ['isVerified'])).toMatchObject({
        isVerified: true,
        verifiedWith: null,
      });
      expect(user({ [field]: null }, ['isVerified']).isVerified).toBe(false);
    },
  );

  it.each<[unknown, string]>([
    ['2021-02-03T04:05:06.789Z', '2021-02-03T04:05:06.789Z'],
    ['2021-02-03T04:05:06.789999+02:00', '2021-02-03T02:05:06.789Z'],
    ['2021-02-03T04:05:06+0530', '2021-02-02T22:35:06.000Z'],
    ['2021-02-03T04:05:06-03', '2021-02-03T07:05:06.000Z'],
    ['2021-02-03 04:05:06', '2021-02-03T04:05:06.000Z'],
    ['2021-02-03 04:05', '2021-02-03T04:05:00.000Z'],
    ['2021-02-03', '2021-02-03T00:00:00.000Z'],
    [1_612_325_106, '2021-02-03T04:05:06.000Z'],
    [1_612_325_106_789, '2021-02-03T04:05:06.789Z'],
    ['1612325106789', '2021-02-03T04:05:06.789Z'],
    [Long.fromString('1612325106789'), '2021-02-03T04:05:06.789Z'],
    [new Int32(1_612_325_106), '2021-02-03T04:05:06.000Z'],
    [new Double(1_612_325_106.5), '2021-02-03T04:05:06.500Z'],
    [Decimal128.fromString('1612325106789'), '2021-02-03T04:05:06.789Z'],
    [{ $numberLong: '1612325106789' }, '2021-02-03T04:05:06.789Z'],
    [{ $date: '2021-02-03T04:05:06Z' }, '2021-02-03T04:05:06.000Z'],
    [{ $date: { $numberLong: '1612325106789' } }, '2021-02-03T04:05:06.789Z'],
    [new Timestamp({ t: 1_612_325_106, i: 1 }), '2021-02-03T04:05:06.000Z'],
    ['20210203', '2021-02-03T00:00:00.000Z'],
    ['20210203040506', '2021-02-03T04:05:06.000Z'],
    ['20210203T040506Z', '2021-02-03T04:05:06.000Z'],
    ['20210203T060506.789+0200', '2021-02-03T04:05:06.789Z'],
    ['20210203T0405', '2021-02-03T04:05:00.000Z'],
    ['2021-02-03T04Z', '2021-02-03T04:00:00.000Z'],
    ['2021-02-03 04:05:06 UTC', '2021-02-03T04:05:06.000Z'],
    ['2021-02-03T04:05:06GMT', '2021-02-03T04:05:06.000Z'],
    ['Wed, 03 Feb 2021 04:05:06 GMT', '2021-02-03T04:05:06.000Z'],
    ['3 Feb 2021 06:05:06 +0200', '2021-02-03T04:05:06.000Z'],
    ['Wed Feb 03 2021 06:05:06 GMT+0200 (Eastern European Standard Time)', '2021-02-03T04:05:06.000Z'],
    [{ $date: { $numberLong: '86400000' } }, '1970-01-02T00:00:00.000Z'],
    [{ $date: -86_400_000 }, '1969-12-31T00:00:00.000Z'],
    [{ $date: { $numberLong: 1_612_325_106_789 } }, '2021-02-03T04:05:06.789Z'],
    [{ $timestamp: { t: 1_612_325_106, i: 1 } }, '2021-02-03T04:05:06.000Z'],
  ])('created %s', (createdAt, expected) => {
    expect(user({ createdAt }).createdAt.toISOString()).toBe(expected);
  });

  it.each([
    ['never'],
    ['2021-13-45'],
    ['2021-02-30'],
    [new Date(Number.NaN)],
    [Number.NaN],
    [1e300],
    ['99999-01-01'],
    ['2024'],
    ['20241301'],
    ['202402301200'],
    ['20240230120000'],
    ['86400'],
    ['Wed, 31 Feb 2021 04:05:06 GMT'],
    ['Wed, 03 Fib 2021 04:05:06 GMT'],
    ['1.7e12'],
    [[CREATED]],
  ])('created %s is taken from the ObjectId', (createdAt) => {
    const read = user({ createdAt });
    expect(read.createdAt).toEqual(OF_ID);
    expect(read.cleaned).toContain('createdAt: derived');
  });

  it('missing times come from the ObjectId, or from each other', () => {
    expect(user({}, ['createdAt', 'updatedAt'])).toMatchObject({ createdAt: OF_ID, updatedAt: OF_ID });
    expect(user({ _id: 'ann' }, ['createdAt'])).toMatchObject({ createdAt: UPDATED, updatedAt: UPDATED });
  });

  it('updated before created is put right, unless this service wrote it', () => {
    const swapped = { createdAt: UPDATED, updatedAt: CREATED };
    expect(user(swapped)).toMatchObject({ createdAt: UPDATED, updatedAt: UPDATED });
    expect(user({ ...swapped, epoch: 1, version: 1 })).toMatchObject({
      createdAt: UPDATED,
      updatedAt: CREATED,
    });
  });

  it.each([
    HASH,
    HASH.replace('$2a$', '$2b$'),
    HASH.replace('$2a$', '$2y$'),
    `{sha384:v1}${HASH}`,
    `{sha384:v12}${HASH}`,
    `{sha384:2026-11}${HASH}`,
    `{sha384:dev}${HASH}`,
    HASH.replace('$10$', '$04$'),
    HASH.replace('$10$', '$16$'),
  ])('keeps the hash %s', (password) => {
    expect(user({ password }).passwordHash).toBe(password);
  });

  it.each<[unknown]>([
    ['correct horse'],
    [''],
    [null],
    ['5f4dcc3b5aa765d61d8327deb882cf99'],
    ['$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA'],
    [HASH.replace('$2a$', '$2x$')],
    [`${HASH}x`],
    [` ${HASH}`],
    [{ hash: HASH }],
    [12345678],
    [HASH.replace('$10$', '$03$')],
    [HASH.replace('$10$', '$17$')],
    [HASH.replace('$10$', '$31$')],
    [`{sha384:}${HASH}`],
    [`{sha384:v1 }${HASH}`],
    [`{sha384:a-version-of-17-0}${HASH}`],
  ])('never takes %s for a hash', (password) => {
    const read = user({ password });
    expect(read.passwordHash).toBeNull();
    expect(read.cleaned.some((finding) => finding.startsWith('password: '))).toBe(true);
  });

  it('a name that is missing, null or of another type does not lose the account', () => {
    expect(user({}, ['name'])).toMatchObject({ name: '', cleaned: [SPELLED, 'name: missing'] });
    expect(user({ name: null })).toMatchObject({ name: '', cleaned: [SPELLED, 'name: missing'] });
    expect(user({ name: ['Ann'] })).toMatchObject({ name: '', cleaned: [SPELLED, 'name: not-a-scalar'] });
    expect(user({ name: 42 })).toMatchObject({ name: '42', cleaned: [SPELLED, 'name: converted'] });
    expect(user({ name: 'A\0n\ud83dn' }).name).toBe('An\ufffdn');
    expect(user({ name: ' 👩‍💻 ' })).toMatchObject({ name: ' 👩‍💻 ', cleaned: [SPELLED] });
  });

  it('a name that was escaped is resolved, unless this service wrote it', () => {
    const escaped = 'O&#39;Neil &amp;amp; Sons &lt;3';
    expect(user({ name: escaped })).toMatchObject({
      name: "O'Neil & Sons <3",
      cleaned: [SPELLED, 'name: html-escaped'],
    });
    expect(user({ name: escaped, epoch: 1, version: 1 })).toMatchObject({ name: escaped, cleaned: [] });
    expect(user({ name: 'A&#0;B&#xd800;' }).name).toBe('AB\ufffd');
  });

  it.each<[Doc, Date | null]>([
    [{ deletedAt: UPDATED }, UPDATED],
    [{ deleted: true }, UPDATED],
    [{ isDeleted: 'true' }, UPDATED],
    [{ deletedAt: null }, null],
    [{ deleted: false }, null],
    [{ isDeleted: 0 }, null],
    [{ isDeleted: '0' }, null],
    [{ isDeleted: '0.0' }, null],
    [{ deleted: '1' }, UPDATED],
    [{ deleted: Decimal128.fromString('0') }, null],
    [{ deleted: Decimal128.fromString('1') }, UPDATED],
    [{ deleted: { $numberLong: '0' } }, null],
    [{ status: 'Deleted' }, UPDATED],
    [{ deletedAt: 0, isDeleted: 1 }, UPDATED],
    [{ deletedAt: 'null', deleted: true }, UPDATED],
    [{ deletedAt: -1, isDeleted: 'yes' }, UPDATED],
    [{ isDeleted: true, deleted_at: CREATED }, CREATED],
    [{ deletedAt: false, isDeleted: 0, deleted: '' }, null],
    [{ status: 'active' }, null],
    [{ deletedAt: new Date('0001-01-01T00:00:00Z') }, null],
    [{ deletedAt: '0001-01-01T00:00:00' }, null],
    [{ deletedAt: new Date('9999-12-31T23:59:59.999Z') }, null],
    [{ deletedAt: '9999-12-31 00:00:00+02:00' }, null],
    [{ is_deleted: 1 }, UPDATED],
    [{ deletedAt: new Date('2999-01-01T00:00:00Z'), isDeleted: true }, UPDATED],
    [{ deletedAt: new Date(0) }, null],
    [{ deletedAt: '1970-01-01T00:00:00Z' }, null],
    [{ deletedAt: new Date(0), isDeleted: true }, UPDATED],
    [{ deletedAt: new Date('1970-01-02T00:00:00Z') }, new Date('1970-01-02T00:00:00Z')],
  ])('soft-deleted by %o', (change, deletedAt) => {
    const gone = { email: null, emailKey: null, name: '', passwordHash: null };
    expect(user(change)).toMatchObject(deletedAt === null ? { deletedAt } : { deletedAt, ...gone });
  });

  it.each<[Doc, string]>([
    [{ status: 'banned' }, 'status: switched-off'],
    [{ status: ' Suspended' }, 'status: switched-off'],
    [{ active: false }, 'active: switched-off'],
    [{ isActive: 'no' }, 'isActive: switched-off'],
    [{ is_active: 0 }, 'is_active: switched-off'],
    [{ enabled: false }, 'enabled: switched-off'],
    [{ is_banned: true }, 'is_banned: switched-off'],
    [{ bannedAt: UPDATED }, 'bannedAt: switched-off'],
    [{ locked_at: UPDATED }, 'locked_at: switched-off'],
    [{ locked: true, isLocked: false, lockedAt: UPDATED }, 'locked: switched-off'],
    [{ locked: null, lockedAt: UPDATED }, 'lockedAt: switched-off'],
    [{ locked: ' ', lockedAt: UPDATED }, 'lockedAt: switched-off'],
    [{ banned: false, lockedAt: UPDATED }, 'lockedAt: switched-off'],
  ])('that was locked out by %o is bad, and not let in', (change, finding) => {
    expect(badUser({ ...LEGACY, ...change })).toEqual([finding]);
    expect(user({ ...change, epoch: 1, version: 1 }).isVerified).toBe(true);
  });

  it.each<Doc>([
    { locked: false, lockedAt: UPDATED },
    { is_locked: 0, locked_at: UPDATED },
    { isBanned: 'no', banned_at: UPDATED },
  ])('whose lock was lifted, as %o says, is let in', (change) => {
    expect(user(change)).toMatchObject({ deletedAt: null, isVerified: true });
  });

  it('that is not enabled is locked out, verified or not; that it is enabled says nothing of its address', () => {
    const { isVerified: _, ...bare } = LEGACY;
    for (const field of ['enabled', 'isEnabled', 'is_enabled']) {
      expect(badUser({ ...bare, [field]: false })).toEqual([`${field}: switched-off`]);
      expect(badUser({ ...LEGACY, [field]: 0 })).toEqual([`${field}: switched-off`]);
      expect(user({ [field]: true }, ['isVerified']).isVerified).toBe(false);
      expect(user({ [field]: true }).isVerified).toBe(true);
    }
  });

  it.each<[Doc, boolean]>([
    [{ active: true }, true],
    [{ active: false }, false],
    [{ isActive: 1 }, true],
    [{ status: 'active' }, true],
    [{ status: 'pending' }, false],
    [{ status: 'premium' }, false],
  ])('is verified as %o says, where nothing else does', (change, expected) => {
    expect(user(change, ['isVerified']).isVerified).toBe(expected);
  });

  it('that is to be deleted some day is bad, by whatever clock', () => {
    expect(badUser({ ...LEGACY, deletedAt: new Date('2999-01-01T00:00:00Z') })).toEqual([
      'deletedAt: out-of-range',
    ]);
    const tomorrow = new Date(Date.now() + 40_000_000);
    expect(user({ deletedAt: tomorrow })).toMatchObject({ deletedAt: tomorrow, email: null });
  });

  it.each<[unknown, boolean]>([
    ['trashed', true],
    [0, true],
    [new Int32(1), true],
    ['7', true],
    [UPDATED, true],
    [['active', 'vip'], true],
    ['Active ', false],
    ['pending', false],
    ['', false],
    [true, false],
    [{ text: 'on holiday' }, false],
    [['active', 'verified'], false],
  ])('a state of %o is counted as unknown: %s', (status, isUnknown) => {
    const read = user({ status });
    expect(read.isVerified).toBe(true);
    expect(read.cleaned.includes('status: unreadable')).toBe(isUnknown);
    expect(user({ status, epoch: 1, version: 1 }).cleaned).not.toContain('status: unreadable');
  });

  it.each<[Doc, readonly string[], string]>([
    [{ isVerified: null }, [], 'isVerified: missing'],
    [{}, ['isVerified'], 'isVerified: missing'],
    [{ isDeleted: 'false' }, [], 'deletedAt: converted'],
    [{ deletedAt: 0 }, [], 'deletedAt: converted'],
  ])('what was made of %o is counted', (change, without, finding) => {
    expect(user(change, without).cleaned).toEqual([finding, SPELLED].sort((a) => (a === SPELLED ? 1 : -1)));
  });

  it.each<Doc>([
    { version: 3 },
    { epoch: '1', version: '3' },
    { epoch: 1, version: { $numberLong: '3' } },
    { epoch: { $numberInt: '1' }, version: { $numberInt: '3' } },
  ])('%o is no stamp of this service', (change) => {
    const { stamp, cleaned } = user(change);
    expect(stamp).toEqual({ epoch: 0, version: 0 });
    expect(cleaned).toContain('version: foreign-stamp');
  });

  it('escaped without end is not resolved without end', () => {
    const email = `a&${'amp;'.repeat(1_000)}b@example.org`;
    expect(badUser({ ...LEGACY, email })).toEqual(['email: unreadable']);
    expect(user({ name: email }).name.length).toBe(email.length - 40);
  });

  it('an e-mail of nothing but signs is read in no more time than its length takes', () => {
    const email = `<${'@'.repeat(1_000_000)}`;
    expect(user({ email }).email).toBe(email);
  });

  it.each<[unknown, string]>([
    ['ann', 'ann'],
    ['5f000000aaaaaaaaaaaaaaaa', '~s5f000000aaaaaaaaaaaaaaaa'],
    [7, '~bDAAAABB2AAcAAAAA'],
  ])('_id %s', (id, expected) => {
    expect(user({ _id: id }).id).toBe(expected);
  });
});

describe('a legacy token', () => {
  const USER = ObjectId.createFromHexString('5e000000bbbbbbbbbbbbbbbb');
  const TOKEN: Doc = { _id, userId: USER, token: 'clear', createdAt: CREATED, expiresAt: UPDATED };
  /** SHA-256 of `clear`. */
  const CLEAR_HASH = '913a4cb91be20332f3559f8070255d7ac3e6228bb423f4441551d3f783e7d4f4';

  function token(change: Doc) {
    const result = canonicalResetToken({ ...TOKEN, ...change });
    return 'record' in result ? result.record : result.bad.map(({ field, reason }) => `${field}: ${reason}`);
  }

  it('is read by its hash, of generation 0, without a nonce', () => {
    expect(token({})).toEqual({
      id: '5f000000aaaaaaaaaaaaaaaa',
      userId: '5e000000bbbbbbbbbbbbbbbb',
      tokenHash: CLEAR_HASH,
      nonce: null,
      createdAt: CREATED,
      expiresAt: UPDATED,
      mailDueAt: null,
      generation: 0,
      stamp: { epoch: 0, version: 0 },
    });
    expect(token({ token: `sha256:${CLEAR_HASH}` })).toMatchObject({ tokenHash: CLEAR_HASH });
  });

  it.each<[string, unknown, string]>([
    ['text', '5E000000BBBBBBBBBBBBBBBB', '5e000000bbbbbbbbbbbbbbbb'],
    ['a populated document', { _id: USER, email: 'x' }, '5e000000bbbbbbbbbbbbbbbb'],
    ['extended JSON', { $oid: '5e000000bbbbbbbbbbbbbbbb' }, '5e000000bbbbbbbbbbbbbbbb'],
    ['a document with an id', { id: USER, name: 'x' }, '5e000000bbbbbbbbbbbbbbbb'],
    [
      'a document with extended JSON',
      { _id: { $oid: '5e000000bbbbbbbbbbbbbbbb' } },
      '5e000000bbbbbbbbbbbbbbbb',
    ],
    ['what a shell prints', 'ObjectId("5e000000bbbbbbbbbbbbbbbb")', '5e000000bbbbbbbbbbbbbbbb'],
    ['what Node prints', "new ObjectId('5e000000bbbbbbbbbbbbbbbb')", '5e000000bbbbbbbbbbbbbbbb'],
    ['another string', 'ann', 'ann'],
  ])('may refer to its user by %s', (_what, userId, expected) => {
    expect(token({ userId })).toMatchObject({ userId: expected });
  });

  it('without an end ends at once', () => {
    expect(token({ expiresAt: null })).toMatchObject({ expiresAt: CREATED });
  });

  it.each<Doc>([
    { used: true },
    { used: 'yes' },
    { usedAt: UPDATED },
    { consumed: 1 },
    { revokedAt: '2022-02-03T04:05:06Z' },
    { isValid: false },
    { deleted: true },
    { deletedAt: UPDATED },
    { status: ' Used' },
    { used: { by: 'reset' } },
  ])('that was used or taken back, %o, ends when it was made', (mark) => {
    const read = canonicalResetToken({ ...TOKEN, ...mark });
    const [field] = Object.keys(mark);
    expect(read).toMatchObject({ record: { expiresAt: CREATED }, cleaned: [{ field, reason: 'used' }] });
    const undated = canonicalVerificationToken({ ...TOKEN, ...mark, _id: 'x', createdAt: null });
    expect(undated).toMatchObject({ record: { createdAt: new Date(0), expiresAt: new Date(0) } });
  });

  it.each<Doc>([
    { used: false },
    { used: 'no' },
    { usedAt: null },
    { usedAt: new Date(0) },
    { active: true },
    { isValid: 1 },
    { status: 'sent' },
    { used: true, epoch: 0, version: 1 },
  ])('that was not, or is written here by now, %o, ends when it says', (mark) => {
    expect(token(mark)).toMatchObject({ expiresAt: UPDATED });
  });

  it.each<[Doc, string]>([
    [{ userId: null }, 'userId: missing'],
    [{ userId: [USER] }, 'userId: not-a-scalar'],
    [{ token: null }, 'token: missing'],
    [{ token: '' }, 'token: empty'],
    [{ token: { $ne: null } }, 'token: not-a-scalar'],
  ])('%o is bad', (change, finding) => {
    expect(token(change)).toContain(finding);
    const verification = canonicalVerificationToken({ ...TOKEN, ...change });
    expect('bad' in verification).toBe(true);
  });
});

describe('a session', () => {
  it('that is none of ours is bad', () => {
    const result = canonicalSession({ _id: 'abc', expires: UPDATED, session: '{"cookie":{}}' });
    expect('bad' in result && result.bad.map(({ field }) => field)).toEqual([
      'expiresAt',
      'userId',
      'tokenHash',
      'keyId',
    ]);
  });
});
