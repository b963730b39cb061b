/** A shadow over two stores in memory, with one account that both have, and a clock of the test's own. */
import { beforeEach } from 'vitest';
import type { Outcome } from '../../../cutover/shadow/outcomes.ts';
import { createShadow, type Shadow } from '../../../cutover/shadow/shadow.ts';
import type { Traffic } from '../../../cutover/traffic.ts';
import type { Store } from '../../../db/port.ts';
import type { UserRecord } from '../../../db/records.ts';
import { type Account, newAccount } from '../../contract/fixtures.ts';
import { DIGEST_KEY, openWorld, RETENTION_MS, type World } from './shadow-world.ts';

/** The three re-checks, and a little. */
export const ALL_STAGES_MS = 36_100;
export const AT_ONCE_MS = 100;

/** Made anew for each test of a file that says `useShadow()`. */
export let world: World;
export let shadow: Shadow;
export let account: Account;

export function useShadow(): void {
  beforeEach(async () => {
    world = await openWorld('shadow-read');
    startShadow();
    account = newAccount();
    await repository().createAccount(account);
    await world.mirror();
  });
}

/** Another one in its place, over these stores. */
export function startShadow(stores: { mongo: Store; postgres: Store } = world, traffic?: Traffic): void {
  const { environment, member } = world;
  const { telemetry } = world.recorded;
  shadow = createShadow({
    stores: { mongo: stores.mongo, postgres: stores.postgres },
    environment,
    telemetry,
    member,
    digestKey: DIGEST_KEY,
    retentionMs: RETENTION_MS,
    ...(traffic && { traffic }),
  });
  shadow.start();
}

export const repository = () => world.authority.at({ epoch: 1, pending: true });

export async function offerUser(id = account.user.id): Promise<void> {
  shadow.offer('findUser', [id], await repository().findUser(id), world.member.ticket());
}

/** Outcomes that came about, zeroes left out. */
export function outcomes(): Partial<Record<Outcome, number>> {
  return Object.fromEntries(Object.entries(shadow.stats().outcomes).filter(([, count]) => count > 0));
}

export function plant(store: 'authority' | 'other', change: Partial<UserRecord>, id = account.user.id): void {
  const held = world[store].tables.user.get(id);
  if (held === undefined) throw new Error('nothing to change');
  world[store].tables.user.set(id, { ...held, record: { ...held.record, ...change } });
}
