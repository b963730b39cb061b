import { describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import { createMemoryStore, type Operation } from '../support/memory/store.ts';
import { NOW, newAccount } from './fixtures.ts';
import { storeContract } from './harness.ts';
import { memoryDriver } from './memory-driver.ts';

storeContract(memoryDriver('postgres'));

describe('the hooks of the store in memory', () => {
  const lost = new StoreUnavailable('postgres', 'unknown', 'connection-lost');

  function faulty(at: 'before' | 'after') {
    const seen: Operation[] = [];
    const heard: string[] = [];
    const hook = (operation: Operation): void => {
      seen.push(operation);
      if (operation.kind === 'write') throw lost;
    };
    const store = createMemoryStore({ name: 'postgres', hooks: { [at]: hook } });
    const repo = store.at({ epoch: 1, pending: true, onWrite: (entity) => heard.push(entity) });
    return { store, repo, seen, heard };
  }

  it('a fault before an operation leaves nothing of it', async () => {
    const { store, repo, seen, heard } = faulty('before');
    await expect(repo.createAccount(newAccount())).rejects.toBe(lost);
    expect(seen).toEqual([{ store: 'postgres', name: 'createAccount', kind: 'write' }]);
    expect(store.tables.user.size).toBe(0);
    expect(heard).toEqual([]);
  });

  it('a fault after it loses only the answer', async () => {
    const { store, repo, heard } = faulty('after');
    const { user, ...rest } = newAccount();
    await expect(repo.createAccount({ user, ...rest })).rejects.toBe(lost);
    expect(await repo.findUser(user.id)).toMatchObject(user);
    expect(store.tables.session.size).toBe(1);
    expect(heard).toEqual([]);
  });

  it('marks carry the time of the clock it is given', async () => {
    const store = createMemoryStore({ name: 'mongo', now: () => NOW });
    await store.at({ epoch: 1, pending: true }).createAccount(newAccount());
    expect(await store.replica.countMarks()).toEqual({ count: 3, oldestAt: NOW });
  });
});
