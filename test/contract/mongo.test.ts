import { inject } from 'vitest';
import { openMongo, openMongoStandalone } from '../support/stores.ts';
import { storeContract } from './harness.ts';
import { mongoDriver } from './mongo-driver.ts';

const server = inject('mongoServer');
storeContract(mongoDriver(`${server}, replica set`, openMongo));
storeContract(mongoDriver(`${server}, standalone`, openMongoStandalone));
