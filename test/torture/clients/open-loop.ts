/** Steady traffic: requests are sent when they are due, whatever became of those before. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Person } from './person.ts';

export interface Traffic {
  /** How many were sent. */
  count(): number;
  /** Sends nothing more; resolves when all are answered. */
  stop(): Promise<void>;
}

type Act = (person: Person) => Promise<unknown>;

/** Cheap ones, for a rate that hashing does not eat up; now and then one that changes more. */
const ACTS: readonly Act[] = [
  ({ acts }) => acts.me(),
  ({ acts }) => acts.me(),
  ({ acts }) => acts.refresh(),
  ({ acts }) => acts.refresh(),
  ({ acts }) => acts.list(),
];
const RARE: readonly Act[] = [
  ({ acts }) => acts.change(),
  ({ acts }) => acts.login(),
  ({ acts }) => acts.verify(),
  ({ acts }) => acts.forgot(),
  ({ acts }) => acts.reset(),
  async ({ acts, alive }) => (alive().length > 1 ? acts.logout() : acts.login()),
];
const RARE_SHARE = 0.05;

export function startTraffic(people: readonly Person[], random: Random, perSecond: number): Traffic {
  const running = new Set<Promise<unknown>>();
  let stopping = false;
  let sent = 0;
  const send = (work: Promise<unknown>): void => {
    sent += 1;
    running.add(work);
    void work.finally(() => running.delete(work));
  };
  const startedMs = performance.now();
  const loop = (async () => {
    while (!stopping) {
      const due = ((performance.now() - startedMs) * perSecond) / 1_000;
      while (sent < due) send(random.pick(random.chance(RARE_SHARE) ? RARE : ACTS)(random.pick(people)));
      await sleep(5);
    }
  })();
  return {
    count: () => sent,
    async stop() {
      stopping = true;
      await loop;
      while (running.size > 0) await Promise.all(running);
    },
  };
}
