/** A change of the password that dies between the user's write and that of the session it was made from. */
import { describe, expect, it } from 'vitest';
import { isLive } from '../../db/transitions.ts';
import { fakeHash, freshHash, liveIds, logIn, NOW, signUp, userOf } from '../contract/fixtures.ts';
import { openMongo } from '../support/stores.ts';

const CONTEXT = { epoch: 1, pending: false };

describe('a change of the password whose second write never comes', async () => {
  const { store } = await openMongo();
  const repo = store.at(CONTEXT);

  async function isSessionLive(id: string): Promise<boolean> {
    const found = await repo.findSession(id);
    return found !== null && isLive(found.session, found.user, NOW);
  }

  /** Writes nothing more once something was written. */
  function dying() {
    let hasWritten = false;
    return store.at({
      ...CONTEXT,
      mayContinue: () => !hasWritten,
      onWrite: () => {
        hasWritten = true;
      },
    });
  }

  async function changePasswordAndDie(
    userId: string,
    keepSessionId: string,
    sessionGeneration = 0,
  ): Promise<void> {
    const newHash = fakeHash(`new${sessionGeneration}`);
    const changing = dying().changePassword({ userId, sessionGeneration, newHash, keepSessionId, now: NOW });
    await expect(changing).rejects.toMatchObject({ outcome: 'unknown' });
  }

  it('leaves who changed it signed in until their session ends in another way', async () => {
    const { user, session } = await signUp(repo);
    const other = await logIn(repo, user.id);
    await changePasswordAndDie(user.id, session.id);
    expect((await userOf(repo, user.id)).sessionGeneration).toBe(1);
    expect(await isSessionLive(session.id)).toBe(true);
    expect(await isSessionLive(other.id)).toBe(false);
    expect(await liveIds(repo, user.id)).toEqual([session.id]);

    const toHash = freshHash();
    const rotation = { sessionId: session.id, fromHash: session.tokenHash, toHash, now: NOW };
    const known = (await repo.findSession(session.id))?.session;
    if (known === undefined) throw new Error('the session is gone');
    await repo.rotateSession({ ...rotation, known, idleExpiresAt: session.idleExpiresAt });
    const { found } = await store.replica.read('session', [session.id]);
    expect(found.get(session.id)?.record).toMatchObject({ generation: 1, tokenHash: toHash });
    expect(await isSessionLive(session.id)).toBe(true);

    await repo.endSessions({ userId: user.id, now: NOW });
    expect(await isSessionLive(session.id)).toBe(false);
    expect(await liveIds(repo, user.id)).toEqual([]);
  });

  it('leaves them signed in when they change it once more, also if that dies as well', async () => {
    for (const dies of [false, true]) {
      const { user, session } = await signUp(repo);
      await changePasswordAndDie(user.id, session.id);
      if (dies) await changePasswordAndDie(user.id, session.id, 1);
      else {
        const again = { newHash: fakeHash('newer'), keepSessionId: session.id, now: NOW };
        const changed = await repo.changePassword({ userId: user.id, sessionGeneration: 1, ...again });
        expect(changed).toBe('done');
      }
      expect((await userOf(repo, user.id)).sessionGeneration).toBe(2);
      expect(await liveIds(repo, user.id)).toEqual([session.id]);
      const { found } = await store.replica.read('session', [session.id]);
      expect(found.get(session.id)?.record.generation).toBe(dies ? 0 : 2);
      await repo.endSessions({ userId: user.id, now: NOW });
      expect(await liveIds(repo, user.id)).toEqual([]);
    }
  });

  it('leaves nothing that a later end of all sessions would spare, also where the change was taken back before', async () => {
    for (const isTakenBack of [false, true]) {
      const { user, session } = await signUp(repo);
      await changePasswordAndDie(user.id, session.id);
      if (isTakenBack) {
        // As it is done to what was written after authority had moved on.
        const before = { ...user, stamp: { epoch: 1, version: 9 } };
        const under = { epoch: 1, expiredBefore: new Date(0) };
        expect(await store.replica.apply('user', [before], under)).toEqual([{ kind: 'applied' }]);
        expect(await isSessionLive(session.id)).toBe(true);
      }
      await repo.endSessions({ userId: user.id, now: NOW });
      expect(await isSessionLive(session.id)).toBe(false);
    }
  });
});
