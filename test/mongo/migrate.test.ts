import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { legacyDatabase, legacyUser, NOW, newAccount } from './legacy.ts';

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
