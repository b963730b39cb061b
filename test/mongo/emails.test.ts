import mongoose from 'mongoose';
import { beforeAll, describe, expect, it } from 'vitest';
import { EmailTaken } from '../../db/errors.ts';
import type { MongoStore } from '../../db/mongo/store.ts';
import { createLagProxy } from '../support/lag-proxy.ts';
import { eventually } from '../support/wait.ts';
import { mongoCommand } from '../support/wire.ts';
import { type LegacyDatabase, legacyDatabase, legacyUser, NOW, newAccount } from './legacy.ts';

const CONTEXT = { epoch: 0, pending: false };
/** More than come in one answer. */
const REFUSED = 510;

describe.each(['before', 'after'])('legacy e-mails, %s the pass', (when) => {
  let legacy: LegacyDatabase;
  let store: MongoStore;
  // The younger one comes first in the collection, and by its _id.
  const older = legacyUser({ email: 'Twin@Example.org', createdAt: new Date('2019-01-01') });
  const younger = legacyUser({ email: 'twin@example.ORG', createdAt: new Date('2020-01-01') });
  const single = legacyUser({ email: 'Zo\u00cb+x(1)@Example.org' });
  const spaced = legacyUser({ email: ' Spaced@Example.org ' });
  const hidden = legacyUser({ email: 'Hid\u200cden\u00ad@Example.org' });
  const text = legacyUser({ _id: 'ann' as never, email: 'Text@Example.org' });
  const broken = legacyUser({ email: ['a@example.org'] });

  beforeAll(async () => {
    legacy = await legacyDatabase();
    await legacy.db
      .collection('users')
      .insertMany([younger, older, single, spaced, hidden, text, broken] as never[]);
    store = await legacy.open({ emailKeyPass: when === 'after' });
    await store.migrate(() => {});
    await store.whenEmailsKeyed();
  });

  const idOf = async (email: string) => (await store.at(CONTEXT).findUserByEmail(email))?.id;

  it('finds any letter case', async () => {
    for (const email of ['Zo\u00cb+x(1)@Example.org', 'zo\u00eb+X(1)@EXAMPLE.ORG']) {
      expect(await idOf(email)).toBe(String(single._id));
    }
    expect(await idOf('TEXT@example.org')).toBe('ann');
    expect(await idOf('spaced@example.org')).toBe(String(spaced._id));
  });

  it('finds what nobody sees in it, typed along or, with a key, left out', async () => {
    expect(await idOf('Hid\u200cden\u00ad@Example.org')).toBe(String(hidden._id));
    if (when === 'after') expect(await idOf('hidden@example.org')).toBe(String(hidden._id));
  });

  it('takes no pattern for an e-mail', async () => {
    for (const email of ['.*', 'Zo.+x(1)@Example.org', '^twin@example.org$', '']) {
      expect(await idOf(email), email).toBeUndefined();
    }
  });

  it('of two that differ in case each answers to its spelling, the older to any other', async () => {
    expect(await idOf('Twin@Example.org')).toBe(String(older._id));
    expect(await idOf('twin@example.ORG')).toBe(String(younger._id));
    expect(await idOf('TWIN@example.org')).toBe(String(older._id));
  });

  it('signup refuses both spellings and any other', async () => {
    const repo = store.at(CONTEXT);
    for (const email of ['Twin@Example.org', 'twin@example.ORG', 'TWIN@EXAMPLE.ORG', 'text@example.org']) {
      await expect(repo.createAccount(newAccount(email)), email).rejects.toBeInstanceOf(EmailTaken);
    }
  });

  it('when the older is erased the younger answers to any spelling, and signup still refuses', async () => {
    const repo = store.at(CONTEXT);
    const erasure = { userId: String(older._id), sessionGeneration: null, now: new Date() };
    expect(await repo.eraseUser(erasure)).toBe('done');
    expect(await idOf('TWIN@example.org')).toBe(String(younger._id));
    await expect(repo.createAccount(newAccount('Twin@Example.org'))).rejects.toBeInstanceOf(EmailTaken);
  });
});

it('nobody answers to the e-mail of a document whose `_id` a query would take for a pattern, and signup takes it', async () => {
  const legacy = await legacyDatabase();
  const nameless = legacyUser({ _id: /x/ as never, email: 'Nameless@Example.org' });
  // MongoDB itself refuses such an `_id`; not every server that speaks like it does.
  await legacy.db
    .collection('users')
    .insertOne(nameless as never)
    .catch((error: unknown) => expect(error).toBeInstanceOf(mongoose.mongo.MongoServerError));
  const store = await legacy.open({ emailKeyPass: false });
  await store.migrate(() => {});
  const repo = store.at(CONTEXT);
  for (const email of ['Nameless@Example.org', 'nameless@example.org'])
    expect(await repo.findUserByEmail(email), email).toBeNull();
  const account = newAccount('Nameless@Example.org');
  await repo.createAccount(account);
  expect((await repo.findUserByEmail('Nameless@Example.org'))?.id).toBe(account.user.id);
});

describe('a legacy e-mail that gets its key while it is looked for', () => {
  it('is found by that, once nothing without a key is found', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    const sought = legacyUser({ email: 'Sought@Example.org' });
    await users.insertMany([sought, legacyUser()] as never[]);
    const proxy = await createLagProxy({ targetPort: Number(new URL(legacy.url).port) });
    const store = await legacy.open({ url: proxy.through(legacy.url), emailKeyPass: false });
    await store.migrate(() => {});
    const held = proxy.holdNext((sent) => mongoCommand(sent) === 'find' && sent.includes('$regex'));
    const found = store.at(CONTEXT).findUserByEmail('sought@example.org');
    expect(await held).toBe(true);
    await users.updateOne({ _id: sought._id }, { $set: { emailKey: 'sought@example.org' } });
    proxy.heal();
    expect((await found)?.id).toBe(String(sought._id));
    await store.close();
    await proxy.close();
  });
});

describe('the pass', () => {
  it('gives each document its key once, whoever runs it, and changes nothing else', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    const docs = Array.from({ length: 150 }, () => legacyUser({ unknown: { kept: [1] } }));
    const pairs = docs.slice(0, 20).map(({ email }) => legacyUser({ email: String(email).toUpperCase() }));
    await users.insertMany([...pairs, ...docs] as never[]);
    const lines: string[] = [];
    const stores = await Promise.all(
      [1, 2, 3].map(() => legacy.open({ report: (line) => lines.push(line) })),
    );
    await Promise.all(stores.map((store) => store.migrate(() => {})));
    await Promise.all(stores.map((store) => store.whenEmailsKeyed()));
    expect(lines.some((line) => line.includes('done'))).toBe(true);
    const after = new Map((await users.find().toArray()).map((doc) => [String(doc._id), doc]));
    for (const doc of docs) {
      expect(after.get(String(doc._id))).toEqual({ ...doc, emailKey: String(doc['email']).toLowerCase() });
    }
    for (const doc of pairs) {
      const emailKeyDuplicate = String(doc['email']).toLowerCase();
      expect(after.get(String(doc._id))).toEqual({ ...doc, emailKey: false, emailKeyDuplicate });
    }
  });

  it('fetches no fields that say nothing about an e-mail, however large they are', async () => {
    const legacy = await legacyDatabase();
    await legacy.db.collection('users').insertOne(legacyUser({ avatar: 'x'.repeat(1000) }) as never);
    const proxy = await createLagProxy({ targetPort: Number(new URL(legacy.url).port) });
    const projections: unknown[] = [];
    void proxy.loseNextReplyAfterCommit((sent) => {
      if (mongoCommand(sent) !== 'find') return false;
      const { find, projection } = mongoose.mongo.BSON.deserialize(
        sent.subarray(21, 21 + sent.readInt32LE(21)),
      );
      if (find === 'users') projections.push(projection);
      return false;
    });
    const store = await legacy.open({ url: proxy.through(legacy.url) });
    await store.migrate(() => {});
    await store.whenEmailsKeyed();
    expect(projections.length).toBeGreaterThan(0);
    for (const fields of projections) {
      expect(fields).toMatchObject({ email: 1, emails: 1, deletedAt: 1, createdAt: 1 });
      expect(fields).not.toHaveProperty('avatar');
    }
    await store.close();
    await proxy.close();
  });

  it('passes over all that the server refuses to change, says so once, and lets them rest', async () => {
    const legacy = await legacyDatabase();
    // A rule of the old service, and documents that are older than it.
    const validator = { plan: { $exists: true } };
    const users = await legacy.db.createCollection('users', { validator });
    const refused = Array.from({ length: REFUSED }, () => legacyUser());
    await users.insertMany(refused as never[], { bypassDocumentValidation: true });
    const others = Array.from({ length: 3 }, () => legacyUser({ plan: 'gold' }));
    await users.insertMany(others as never[]);
    const proxy = await createLagProxy({ targetPort: Number(new URL(legacy.url).port) });
    let updates = 0;
    void proxy.loseNextReplyAfterCommit((sent) => {
      if (mongoCommand(sent) === 'update') updates += 1;
      return false;
    });
    const lines: string[] = [];
    const report = (line: string) => lines.push(line);
    const store = await legacy.open({ url: proxy.through(legacy.url), report });
    await store.migrate(() => {});
    await store.whenEmailsKeyed();
    const ids = others.map(({ _id }) => _id);
    expect(await users.countDocuments({ _id: { $in: ids }, emailKey: { $type: 'string' } })).toBe(3);
    const told = lines.filter((line) => line.includes('passed over'));
    expect(told).toEqual([
      expect.stringMatching(
        `^e-mail keys: ${REFUSED} .* because of MongoServerError 121: db\\.users\\.find\\({ emailKey: null }\\)`,
      ),
    ]);
    expect(await users.find({ emailKey: null } as never).toArray()).toHaveLength(REFUSED);
    expect(updates).toBe(REFUSED + 3);
    for (const { email, _id } of refused.slice(0, 3)) {
      const typed = String(email).toUpperCase();
      expect((await store.at(CONTEXT).findUserByEmail(typed))?.id).toBe(String(_id));
      await store.whenEmailsKeyed();
    }
    expect(updates).toBe(REFUSED + 3);
    expect(lines.filter((line) => line.includes('passed over'))).toHaveLength(1);
    const repo = store.at(CONTEXT);
    const refusal = { name: 'StoreUnavailable', reason: 'validator', outcome: 'none' };
    const write = { userId: String(refused[0]?._id), now: NOW };
    await expect(repo.endSessions(write)).rejects.toMatchObject(refusal);
    await expect(repo.createAccount(newAccount('new@example.org'))).rejects.toMatchObject(refusal);
    await store.close();
    await proxy.close();
  });

  it('passes over one that is never found as it was read', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    const others = Array.from({ length: 3 }, () => legacyUser());
    // SecantusDB updates no document of this _id; where a server does, there is one key more.
    await users.insertMany([legacyUser({ _id: Number.NaN }), ...others] as never[]);
    const store = await legacy.open();
    await store.migrate(() => {});
    await store.whenEmailsKeyed();
    const ids = others.map(({ _id }) => _id);
    expect(await users.countDocuments({ _id: { $in: ids }, emailKey: { $type: 'string' } })).toBe(3);
    await store.close();
  });

  it('writes nothing to a store that was restored, until that is cleared', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    await users.insertOne(legacyUser() as never);
    const proxy = await createLagProxy({ targetPort: Number(new URL(legacy.url).port) });
    let looks = 0;
    void proxy.loseNextReplyAfterCommit((sent) => {
      if (['find', 'aggregate'].includes(mongoCommand(sent) ?? '')) looks += 1;
      return false;
    });
    const first = await legacy.open({ emailKeyPass: false });
    await first.migrate(() => {});
    const fence = { epoch: 1, revision: 1, body: { restored: {} } };
    await first.books.createControl(fence);
    const store = await legacy.open({ url: proxy.through(legacy.url) });
    await eventually(() => looks > 1);
    expect(await users.countDocuments({ emailKey: { $exists: true } })).toBe(0);
    await first.books.replaceControl(fence, { ...fence, body: {} });
    await store.whenEmailsKeyed();
    expect(await users.countDocuments({ emailKey: { $type: 'string' } })).toBe(1);
    await store.close();
    await proxy.close();
  });

  it('goes on where it was stopped', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    await users.insertMany(Array.from({ length: 60 }, () => legacyUser()) as never[]);
    const keyed = () => users.countDocuments({ emailKey: { $type: 'string' } });
    const proxy = await createLagProxy({ targetPort: Number(new URL(legacy.url).port) });
    const first = await legacy.open({ url: proxy.through(legacy.url) });
    let updates = 0;
    const midway = proxy.holdNext((sent) => {
      if (mongoCommand(sent) === 'update') updates += 1;
      return updates === 20;
    });
    await first.migrate(() => {});
    expect(await midway).toBe(true);
    const closing = first.close();
    proxy.heal();
    await closing;
    await proxy.close();
    const before = await keyed();
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(60);
    const second = await legacy.open();
    await second.whenEmailsKeyed();
    expect(await keyed()).toBe(60);
  });

  it('comes back for what the old service adds or changes meanwhile', async () => {
    const legacy = await legacyDatabase();
    const users = legacy.db.collection('users');
    const changed = legacyUser({ email: 'Before@Example.org' });
    await users.insertOne(changed as never);
    const store = await legacy.open();
    await store.migrate(() => {});
    await store.whenEmailsKeyed();
    const added = legacyUser({ email: 'Added@Example.org' });
    await users.insertOne(added as never);
    await users.updateOne({ _id: changed._id }, { $set: { email: 'After@Example.org' } });
    const repo = store.at(CONTEXT);
    expect((await repo.findUserByEmail('added@example.org'))?.id).toBe(String(added._id));
    expect((await repo.findUserByEmail('After@Example.org'))?.id).toBe(String(changed._id));
    expect(await repo.findUserByEmail('before@example.org')).toBeNull();
    await store.whenEmailsKeyed();
    expect(
      await users.countDocuments({ emailKey: { $in: ['added@example.org', 'after@example.org'] } }),
    ).toBe(2);
  });
});
