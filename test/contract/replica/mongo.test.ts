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
// It is asked in the same words: that it takes them all is what there is to show, and in these groups all are said.
replicaContract(mongoDriver(`${server}, standalone`, openMongoStandalone), traits, [
  'marks',
  'repair',
  'books',
  'assurance',
]);
