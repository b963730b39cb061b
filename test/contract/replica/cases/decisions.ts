import { describe, expect, it } from 'vitest';
import { decideApply, decideWrite, mayClearMark, nextStamp } from '../../../../cutover/protocol/stamps.ts';
import { StaleWrite } from '../../../../db/errors.ts';
import type { Stamp } from '../../../../db/records.ts';
import { freshHash, NOW } from '../../fixtures.ts';
import type { ReplicaSubject } from '../harness.ts';
import { heldBy, next, UNDER, userAt } from '../records.ts';

const STAMPS: readonly Stamp[] = [
  { epoch: 1, version: 1 },
  { epoch: 1, version: 2 },
  { epoch: 2, version: 1 },
  { epoch: 2, version: 2 },
];
const EPOCHS = [1, 2, 3];

const versionOf = ({ epoch, version }: Stamp) => [epoch, version] as const;
const say = (...parts: unknown[]) => JSON.stringify(parts);

/** The guards that the stores carry in their own statements are those that the search of the flip protocol goes by. */
export function decisionCases({ store }: ReplicaSubject): void {
  const { replica } = store;

  async function stored(stamp: Stamp) {
    const user = userAt(versionOf(stamp));
    await replica.apply('user', [user], UNDER);
    return user;
  }

  describe('decisions', () => {
    it('an apply goes over what is stored exactly when `decideApply` says so', async () => {
      for (const before of [null, ...STAMPS])
        for (const incoming of STAMPS)
          for (const acting of EPOCHS.filter((epoch) => epoch >= incoming.epoch)) {
            const user = before === null ? userAt(versionOf(incoming)) : await stored(before);
            const arriving = next(user, versionOf(incoming));
            const under = { ...UNDER, epoch: acting };
            const [outcome] = await replica.apply('user', [arriving], under);
            const wanted = decideApply(before, incoming, acting, before?.epoch ?? 0);
            const seen = { applied: 'apply', same: 'same' }[String(outcome?.kind)] ?? 'neither';
            const expected = wanted === 'ahead' || wanted === 'refused' ? 'neither' : wanted;
            expect(seen, say(before, incoming, acting, outcome)).toBe(expected);
            const kept = expected === 'neither' ? before : incoming;
            expect((await heldBy(store, 'user', user.id)).record.stamp).toEqual(kept);
          }
    });

    it('a write of the port is stale exactly when `decideWrite` says so, and else has the next stamp', async () => {
      for (const before of STAMPS)
        for (const epoch of EPOCHS) {
          const { id, passwordHash } = await stored(before);
          const write = store.at({ epoch, pending: false }).upgradeHash({
            userId: id,
            oldHash: passwordHash ?? '',
            newHash: freshHash(),
            now: NOW,
          });
          const stale = await write.then(
            () => false,
            (error: unknown) => error instanceof StaleWrite,
          );
          expect(stale, say(before, epoch)).toBe(decideWrite(before, before, epoch) === 'stale');
          const after = stale ? before : nextStamp(before, epoch);
          expect((await heldBy(store, 'user', id)).record.stamp).toEqual(after);
        }
    });

    it('a write that names what it read lands exactly when `decideWrite` says so', async () => {
      const to = { epoch: 3, version: 9 };
      for (const before of STAMPS)
        for (const expected of STAMPS) {
          const { id } = await stored(before);
          const landed = await replica.touch('user', id, { expected, to });
          expect(landed, say(before, expected)).toBe(decideWrite(before, expected, to.epoch) === 'write');
        }
    });

    it('a mark goes exactly when `mayClearMark` says so', async () => {
      const first: Stamp = { epoch: 1, version: 0 };
      for (const at of STAMPS)
        for (const mirrored of STAMPS) {
          const { id } = await stored(first);
          await replica.touch('user', id, { expected: first, to: at });
          const cleared = await replica.clearMarks([{ entity: 'user', id, stamp: mirrored }]);
          expect(cleared === 1, say(at, mirrored)).toBe(mayClearMark(at, mirrored));
        }
    });
  });
}
