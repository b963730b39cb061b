import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type LegacyDoc as Document, legacyDatabase, legacyUser, NOW, newAccount } from './legacy.ts';

describe('migrate', () => {
  it('by 20 at once on a database never used: each index once', async () => {
    const legacy = await legacyDatabase();
    const lines: string[] = [];
    const stores = await Promise.all(Array.from({ length: 20 }, () => legacy.open({ emailKeyPass: false })));
    await Promise.all(stores.map((store) => store.migrate((line) => lines.push(line))));
    const names = (await legacy.db.collection('users').indexes()).map(({ name }) => name);
    expect(names.sort()).toEqual([
      '_id_',
      'auth_email',
      'auth_email_key',
      'auth_email_key_duplicate',
      'auth_pending_at',
      'auth_unkeyed',
    ]);
    expect(lines.length).toBeGreaterThan(0);
  });

  it('replaces TTL indexes and says so', async () => {
    const legacy = await legacyDatabase();
    const tokens = legacy.db.collection('password_reset_tokens');
    await tokens.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 });
    await legacy.db
      .collection('verification_tokens')
      .createIndex({ createdAt: 1 }, { expireAfterSeconds: 86_400 });
    const lines: string[] = [];
    const store = await legacy.open();
    await store.migrate((line) => lines.push(line));
    expect(lines).toContain(
      "password_reset_tokens: TTL index expiresAt_1 on expiresAt replaced by a plain one: retention is this service's",
    );
    for (const name of ['password_reset_tokens', 'verification_tokens']) {
      const indexes = await legacy.db.collection(name).indexes();
      expect(indexes.filter((index) => index.expireAfterSeconds !== undefined)).toEqual([]);
    }
    expect((await tokens.indexes()).filter(({ key }) => 'expiresAt' in key)).toHaveLength(1);
  });

  it('keeps the old unique index on the e-mail, and loosens those that would refuse our writes', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    await users.createIndex({ email: 1 }, { unique: true });
    await users.createIndex({ username: 1 }, { unique: true });
    await users.createIndex({ name: 1 }, { unique: true });
    await legacy.db.collection('verification_tokens').createIndex({ userId: 1 }, { unique: true });
    await users.insertOne(legacyUser({ username: 'ann', name: 'Ann of old' }) as never);
    const store = await legacy.open();
    await store.migrate(() => {});
    const repo = store.at({ epoch: 0, pending: false });
    const accounts = ['a@example.org', 'b@example.org'].map((email) => newAccount(email));
    for (const account of accounts) {
      await repo.createAccount(account);
      const { token } = newAccount('', account.user.id);
      await repo.addVerificationToken(token);
    }
    for (const { user } of accounts) {
      expect(await repo.eraseUser({ userId: user.id, sessionGeneration: null, now: NOW })).toBe('done');
    }
    const indexes = await users.indexes();
    expect(indexes.find(({ key }) => 'username' in key)).toMatchObject({ unique: true });
    expect(indexes.find(({ name }) => name === 'email_1')).toMatchObject({ unique: true });
    await expect(users.insertOne(legacyUser({ username: 'ann' }) as never)).rejects.toThrow(/E11000/);
  });

  it.each<readonly [string, string, Document, Document]>([
    ['of two fields, sparse', 'verification_tokens', { userId: 1, type: 1 }, { sparse: true }],
    [
      'of two fields, partial by one that all have',
      'verification_tokens',
      { userId: 1, type: 1 },
      { partialFilterExpression: { userId: { $exists: true } } },
    ],
    ['on the token of sessions of another kind', 'sessions', { token: 1 }, {}],
    ['of one session for each browser', 'sessions', { userId: 1, userAgent: 1 }, {}],
  ])('loosens a unique index %s', async (_, collection, key, options) => {
    const legacy = await legacyDatabase();
    await legacy.db.collection(collection).createIndex(key, { unique: true, name: 'old', ...options });
    const store = await legacy.open();
    expect(await store.isMigrated()).toBe(false);
    await store.migrate(() => {});
    expect(await store.isMigrated()).toBe(true);
    const repo = store.at({ epoch: 0, pending: false });
    const account = newAccount('a@example.org');
    await repo.createAccount(account);
    const { session, token } = newAccount('', account.user.id);
    await repo.addVerificationToken(token);
    await repo.openSession({ session, replacesId: null, sessionsMax: 10, now: NOW });
    const lines: string[] = [];
    await store.migrate((line) => lines.push(line));
    expect(lines).toEqual(['indexes are up to date']);
  });

  it('leaves a unique index that passes over what this service writes', async () => {
    const legacy = await legacyDatabase();
    const [users, tokens] = ['users', 'verification_tokens'].map((name) => legacy.db.collection(name));
    const options = { unique: true, sparse: true };
    await users?.createIndex({ phone: 1, country: 1 }, { ...options, name: 'phone' });
    const partialFilterExpression = { type: { $type: 'string' } };
    await tokens?.createIndex({ userId: 1, type: 1 }, { unique: true, name: 'one', partialFilterExpression });
    const lines: string[] = [];
    await (await legacy.open()).migrate((line) => lines.push(line));
    expect(lines.filter((line) => line.includes('unique'))).toEqual([]);
  });

  it('says where documents share what is unique here, and never the value', async () => {
    const legacy = await legacyDatabase();
    const emailKey = 'ann@example.org';
    await legacy.db
      .collection('users')
      .insertMany([legacyUser({ emailKey }) as never, legacyUser({ emailKey }) as never]);
    const store = await legacy.open({ emailKeyPass: false });
    const error = await store.migrate(() => {}).catch((problem: unknown) => problem);
    expect(error).toMatchObject({
      message:
        'users: several documents have the same emailKey, which must be unique: index auth_email_key was not made',
    });
    expect(inspect(error)).not.toContain(emailKey);
  });
});
