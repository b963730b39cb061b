/** A mapping file: what is refused, with what words; and what the default is. */
import { deserialize, ObjectId, serialize } from 'bson';
import { describe, expect, it } from 'vitest';
import {
  createCodec,
  DEFAULT_CODEC,
  DEFAULT_MAPPING,
  MappingInvalid,
  parseMapping,
} from '../../db/canonical.ts';
import type { UserRecord } from '../../db/records.ts';
import { HASH } from '../mongo/legacy.ts';

function problemsOf(given: unknown): readonly string[] {
  try {
    parseMapping(given, DEFAULT_MAPPING);
    return [];
  } catch (error) {
    if (!(error instanceof MappingInvalid)) throw error;
    return error.problems;
  }
}

const codecOf = (given: unknown) => createCodec(parseMapping(given, DEFAULT_MAPPING));

describe('what is refused names its place and what is allowed', () => {
  it.each<[string, unknown, RegExp]>([
    ['no object', [], /must be an object with description, collections, user/],
    [
      'a field misspelled',
      { user: { emial: 'email' } },
      /^user: emial: not known here; allowed are email, name/,
    ],
    ['a section misspelled', { users: {} }, /^users: not known here; allowed are/],
    ['an empty step', { user: { email: 'local..email' } }, /^user\.email\.0: must be a path such as/],
    ['an operator', { user: { email: '$where' } }, /^user\.email\.0: must be a path/],
    ['a number for a path', { user: { name: 5 } }, /^user\.name\.0: must be a path/],
    ['no path at all', { user: { name: [] } }, /^user\.name: must name at least one path/],
    [
      'a field of ours',
      { user: { name: 'version' } },
      /^user\.name\.0: must not lie in a field of this service's/,
    ],
    [
      'a way to prototypes',
      { user: { name: '__proto__.x' } },
      /^user\.name\.0: must not go through __proto__/,
    ],
    [
      'a form of time',
      { user: { createdAt: { from: 'a', as: 'day' } } },
      /^user\.createdAt\.as: must be one of date, iso/,
    ],
    [
      'a form of yes',
      { user: { isVerified: { from: 'a', as: 'x' } } },
      /^user\.isVerified\.as: must be one of boolean/,
    ],
    [
      'values, and nothing to write',
      { user: { isVerified: { path: 's', in: ['a'] } } },
      /needs write with yes and no/,
    ],
    [
      'a yes that reads as no',
      { user: { isVerified: { path: 's', in: ['a'], write: { yes: 'b', no: 'c' } } } },
      /write: yes must be one of in/,
    ],
    [
      'two conditions in one',
      { user: { deleted: { path: 's', equals: 1, truthy: true } } },
      /exactly one of equals/,
    ],
    ['no condition', { user: { deleted: { path: 's' } } }, /^user\.deleted\.0: must have exactly one of/],
    [
      'deleted and verified alike',
      {
        user: {
          isVerified: { path: 's', in: ['a'], write: { yes: 'a', no: 'b' } },
          deleted: { path: 's', in: ['a'] },
        },
      },
      /"a" cannot mean deleted and be a value of isVerified/,
    ],
    ['one place for two', { user: { name: 'email' } }, /^user\.name: is written to the same place as email/],
    ['one place in another', { user: { email: 'local', name: 'local.name' } }, /written to the same place/],
    [
      'a name that may be a password',
      { user: { name: ['name', 'password'] } },
      /^user\.name\.1: .* passwordHash/,
    ],
    [
      'a part of a name that may be one',
      { user: { passwordHash: ['local.hash', 'hash'], nameParts: ['first', 'hash'] } },
      /^user\.nameParts\.1: .* passwordHash/,
    ],
    [
      'the time of deletion as its flag',
      { user: { deleted: { path: 'deletedAt', truthy: true } } },
      /is what deletedAt is written to/,
    ],
    [
      'a collection of the server',
      { collections: { user: 'system.users' } },
      /^collections\.user: must not be/,
    ],
    ['a collection of ours', { collections: { user: 'cutover_notes' } }, /^collections\.user: must not be/],
    [
      'one collection for two',
      { collections: { session: 'users' } },
      /^collections\.session: is the collection of user/,
    ],
    [
      'a token without a form',
      { resetToken: { userId: { from: 'u', as: 'x' } } },
      /^resetToken\.userId\.as: must be one of id, text/,
    ],
  ])('%s', (_, given, expected) => {
    expect(problemsOf(given)).toEqual([expect.stringMatching(expected)]);
  });

  it('names every problem at once', () => {
    expect(problemsOf({ user: { email: '', name: '$x' }, collections: { user: 'limits' } })).toHaveLength(3);
  });
});

it('an empty file is the default mapping, and whoever has it has its digest', () => {
  expect(parseMapping({ description: 'nothing', user: {} }, DEFAULT_MAPPING)).toEqual(DEFAULT_MAPPING);
  expect(codecOf({}).digest).toBe(DEFAULT_CODEC.digest);
  const one = codecOf({ user: { name: 'a', email: 'b' } });
  expect(codecOf({ user: { email: ['b'], name: ['a'] } }).digest).toBe(one.digest);
  expect(codecOf({ user: { email: 'b', name: ['a', 'c'] } }).digest).not.toBe(one.digest);
});

it('reads a date that JavaScript has none for as one out of range', () => {
  const dated = { _id: new ObjectId(), email: 'a@example.org', createdAt: new Date(1) };
  const bytes = Buffer.from(serialize(dated));
  bytes.writeBigInt64LE(2n ** 63n - 1n, bytes.indexOf('createdAt') + 'createdAt'.length + 1);
  const read = DEFAULT_CODEC.read('user', deserialize(bytes));
  const ofCreation = 'record' in read ? read.cleaned.filter(({ field }) => field === 'createdAt') : [];
  expect(ofCreation.map(({ reason }) => reason)).toEqual(['out-of-range', 'derived']);
});

describe('reading', () => {
  const base = { _id: new ObjectId(), email: 'a@example.org', password: HASH, createdAt: new Date(0) };
  const userOf = (mapping: unknown, doc: object) => {
    const read = codecOf(mapping).read('user', { ...base, ...doc });
    return 'record' in read ? read.record : read.bad;
  };

  it.each([
    [{ path: 'unconfirmed', not: true }, { unconfirmed: false }, true],
    [{ path: 'unconfirmed', not: true }, { unconfirmed: 1 }, false],
    [{ path: 'unconfirmed', not: true }, {}, false],
    [[{ path: 'level', in: [2, 3], write: { yes: 2, no: 1 } }, 'ok'], { level: 3 }, true],
    [[{ path: 'level', in: [2, 3], write: { yes: 2, no: 1 } }, 'ok'], { level: 1, ok: true }, false],
    [[{ path: 'level', in: [2, 3], write: { yes: 2, no: 1 } }, 'ok'], { ok: true }, true],
  ])('verified by %o of %o: %s', (isVerified, doc, expected) => {
    expect(userOf({ user: { isVerified } }, doc)).toMatchObject({ isVerified: expected });
  });

  it.each([
    [{ path: 'state', equals: 'gone' }, { state: ' GONE ' }, true],
    [{ path: 'state', equals: 'gone' }, { state: 'here' }, false],
    [{ path: 'enabled', falsy: true }, { enabled: 'no' }, true],
    [{ path: 'enabled', falsy: true }, {}, false],
    [{ path: 'removed', truthy: true }, { removed: new Date('2021-02-03') }, true],
    [{ path: 'removed', truthy: true }, { removed: new Date(0) }, false],
  ])('deleted by %o of %o: %s', (deleted, doc, expected) => {
    expect(userOf({ user: { deleted } }, doc)).toMatchObject(
      expected ? { email: null, deletedAt: expect.any(Date) } : { deletedAt: null },
    );
  });

  it('what cannot be told whether it means deleted is bad, and so is who was locked out', () => {
    expect(userOf({ user: { deleted: { path: 'removed', truthy: true } } }, { removed: {} })).toEqual([
      { field: 'removed', reason: 'not-a-scalar' },
    ]);
    expect(userOf({ user: { lockedOut: { path: 'locked', truthy: true } } }, { locked: true })).toEqual([
      { field: 'locked', reason: 'switched-off' },
    ]);
  });

  it('where the mapping says that verified users are enabled, one who is not is not locked out', () => {
    const byEnabled = { user: { isVerified: 'enabled' } };
    expect(userOf(byEnabled, { enabled: false })).toMatchObject({ isVerified: false });
    expect(userOf(byEnabled, { enabled: true })).toMatchObject({ isVerified: true });
  });

  it('a list that the mapping says locks out does, unless it is empty', () => {
    const byBans = { user: { lockedOut: { path: 'bans', truthy: true } } };
    expect(userOf(byBans, { bans: [{ until: null }] })).toEqual([{ field: 'bans', reason: 'switched-off' }]);
    expect(userOf(byBans, { bans: [] })).toMatchObject({ deletedAt: null });
  });

  it('a token says in the place that the mapping names whether it was used', () => {
    const codec = codecOf({ resetToken: { used: { path: 'state', in: ['spent'] } } });
    const token = { _id: 'x', userId: 'y', token: 't', createdAt: new Date(1), expiresAt: new Date(2) };
    const endOf = (given: Record<string, unknown>) => {
      const read = codec.read('resetToken', { ...token, ...given });
      return 'record' in read ? read.record.expiresAt : read.bad;
    };
    expect(endOf({ state: 'spent' })).toEqual(new Date(1));
    expect(endOf({ state: 'new', used: true })).toEqual(new Date(2));
    expect(codec.unknownFields('resetToken', { ...token, state: 'new', used: true })).toEqual([['used']]);
  });

  it('references to users whose ids are text of 24 digits are text, written and read', () => {
    const codec = codecOf({ resetToken: { userId: { from: 'account', as: 'text-id' } } });
    const digits = '64f0c0ffee0123456789abcd';
    const token = { _id: new ObjectId(), token: 't', createdAt: new Date(0), expiresAt: new Date(1) };
    const user = codec.read('user', { ...base, _id: digits });
    const read = codec.read('resetToken', { ...token, account: digits });
    if (!('record' in user && 'record' in read)) throw new Error('unreadable');
    expect(read.record.userId).toBe(user.record.id);
    expect(user.cleaned).toContainEqual({ field: '_id', reason: 'digits-as-id' });
    const written = codec.toDocument('resetToken', read.record);
    expect(written).toMatchObject({ account: digits });
    expect(codec.read('resetToken', written)).toMatchObject({ record: { userId: user.record.id } });
    // Whose it is shows also where nothing else can be read.
    expect(codec.owner('resetToken', { account: digits })).toBe(user.record.id);
    expect(codec.owner('resetToken', { account: ObjectId.createFromHexString(digits) })).toBe(digits);
    expect(codec.read('resetToken', { ...token, account: '' })).toEqual({
      bad: [{ field: 'account', reason: 'empty' }],
    });
  });

  it('a blank name is none where its parts are', () => {
    const user = { nameParts: ['first', 'last'] };
    const parts = { first: 'Ann', last: 'Lee' };
    expect(userOf({ user }, { name: ' ', ...parts })).toMatchObject({ name: 'Ann Lee' });
    expect(userOf({ user }, { name: 'Bob', ...parts })).toMatchObject({ name: 'Bob' });
    expect(userOf({ user }, { name: '', ...parts, epoch: 1, version: 1 })).toMatchObject({ name: '' });
  });

  it('fields that nobody maps are unknown, also inside of documents that are', () => {
    const doc = { local: { email: 'x', pin: 1 }, emails: [{ address: 'y', n: 1 }, {}], plan: 1 };
    const mapping = { user: { email: ['local.email', 'emails.0.address'] } };
    expect(codecOf(mapping).unknownFields('user', doc)).toEqual([
      ['local', 'pin'],
      ['emails', '0', 'n'],
      ['emails', '*'],
      ['plan'],
    ]);
  });
});

describe('the round trip of every form', () => {
  const RECORD: UserRecord = {
    id: 'x',
    email: 'a@b',
    emailKey: 'a@b',
    name: 'n',
    passwordHash: null,
    isVerified: true,
    verifiedWith: null,
    sessionGeneration: 0,
    resetGeneration: 0,
    createdAt: new Date(0),
    updatedAt: new Date(0),
    deletedAt: null,
    stamp: { epoch: 1, version: 1 },
  };
  const at = new Date('2026-01-02T03:04:05.678Z');
  it.each(['date', 'iso', 'seconds', 'milliseconds'] as const)('times as %s', (as) => {
    const codec = codecOf({ user: { updatedAt: { from: 't.updated', as } } });
    const read = codec.read('user', {
      _id: 'x',
      email: 'a@b',
      name: 'n',
      createdAt: new Date(0),
      t: { updated: at },
    });
    if (!('record' in read)) throw new Error('unreadable');
    const written = codec.toDocument('user', read.record);
    const form = as === 'date' ? 'object' : as === 'iso' ? 'string' : 'number';
    expect(typeof (written['t'] as { updated: unknown }).updated).toBe(form);
    expect(codec.read('user', written)).toMatchObject({ record: { updatedAt: at } });
  });
  it.each(['date', 'iso', 'seconds', 'milliseconds'] as const)('the ends of all times as %s', (as) => {
    const codec = codecOf({ user: { updatedAt: { from: 'updated', as } } });
    const ends = [
      '0001-01-01T00:00:00.001Z',
      '1970-01-01T00:00:01.234Z',
      '9876-12-31T12:34:56.789Z',
      '9999-12-31T23:59:59.999Z',
    ];
    for (const updatedAt of ends.map((text) => new Date(text))) {
      const record = { ...RECORD, updatedAt };
      const written = codec.toDocument('user', record);
      expect(codec.read('user', written)).toMatchObject({ record: { updatedAt } });
    }
  });

  it.each([
    ['seconds', at.getTime()],
    ['iso', at.getTime()],
    ['date', at.getTime()],
    ['seconds', at.getTime() / 1000],
    ['iso', at.getTime() / 1000],
    ['date', at.getTime() / 1000],
    ['milliseconds', at.getTime()],
  ] as const)(
    'beside times as %s in a document of ours, %s of the old service means what it did',
    (as, updated) => {
      const codec = codecOf({ user: { updatedAt: { from: 'updated', as } } });
      const doc = { ...codec.toDocument('user', RECORD), updated };
      expect(codec.read('user', doc)).toMatchObject({ record: { updatedAt: at } });
    },
  );
});
