import { memoryDriver } from '../memory-driver.ts';
import { replicaContract } from './harness.ts';

const poison = <T extends object>(user: T) => ({ ...user, isVerified: false, verifiedWith: 'token' });
replicaContract(memoryDriver('postgres'), { hasForeignKey: true, poison });
replicaContract(memoryDriver('mongo'), { hasForeignKey: false, poison });
