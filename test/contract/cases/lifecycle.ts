import { describe, expect, it } from 'vitest';
import { signUp } from '../fixtures.ts';
import type { StoreSubject } from '../harness.ts';

export function lifecycleCases({ store, repo }: StoreSubject): void {
  describe('lifecycle', () => {
    it('answers a ping', async () => {
      await expect(store.ping()).resolves.toBeUndefined();
    });

    it('names the product and its version', async () => {
      expect(await store.describe()).toMatch(/^[A-Za-z]+ \d+\.\d+/);
    });

    it('tells the server\u2019s time', async () => {
      const before = Date.now();
      const time = (await store.clock()).getTime();
      // The servers of the tests are on this machine; one may round down to a second.
      expect(time).toBeGreaterThan(before - 1_001);
      expect(time).toBeLessThanOrEqual(Date.now());
    });

    it('migrates again without a change to what is stored, and reports in single lines', async () => {
      const { user } = await signUp(repo);
      const lines: string[] = [];
      await store.migrate((line) => lines.push(line));
      for (const line of lines) expect(line).toMatch(/^\S.*$/);
      expect(await repo.findUser(user.id)).toMatchObject(user);
    });
  });
}
