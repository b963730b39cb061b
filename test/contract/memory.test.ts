import { storeContract } from './harness.ts';
import { memoryDriver } from './memory-driver.ts';

storeContract(memoryDriver('postgres'));
