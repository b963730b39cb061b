import { inject } from 'vitest';
import { storeContract } from './harness.ts';
import { postgresDriver } from './postgres-driver.ts';

for (const target of inject('postgresServers')) storeContract(postgresDriver(target));
