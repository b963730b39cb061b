import { inject } from 'vitest';
import { openMongo, openMongoStandalone } from '../../support/stores.ts';
import { mongoDriver } from '../mongo-driver.ts';
import { replicaContract } from './harness.ts';

const server = inject('mongoServer');
const traits = {
  hasForeignKey: false,
  // No document can have this id.
  poison: <T extends object>(user: T) => ({ ...user, id: '~x' }),
};
replicaContract(mongoDriver(`${server}, replica set`, openMongo), traits);
replicaContract(mongoDriver(`${server}, standalone`, openMongoStandalone), traits);
