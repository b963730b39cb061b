import { describe, inject, it } from 'vitest';
import type { Repository } from '../../db/port.ts';
import { openMongo, openMongoStandalone } from '../support/stores.ts';
import { EACH } from './cases/each.ts';
import { limitCases } from './cases/limits.ts';
import { storeContract } from './harness.ts';
import { mongoDriver } from './mongo-driver.ts';

const server = inject('mongoServer');
storeContract(mongoDriver(`${server}, replica set`, openMongo));

/**
 * Asked for the very same, in the same words, as nothing in the driver of an operation depends on the topology: that it takes
 * them all is what there is to show.
 */
describe(`${server}, standalone`, async () => {
  const { store } = await openMongoStandalone();
  const repo = store.at({ epoch: 1, pending: true });
  const operations = Object.entries(EACH) as [keyof Repository, (typeof EACH)[keyof Repository]][];
  it.each(operations)('%s', (_, run) => run(repo));
  limitCases({ store });
});
