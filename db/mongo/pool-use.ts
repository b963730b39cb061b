/** How many connections are in use: the driver tells each event of its pools, and they are counted. */
import type mongoose from 'mongoose';
import type { PoolUse } from '../port.ts';

export interface PoolWatch {
  /** To be called once for each client, as early as it can be had. */
  watch(client: mongoose.mongo.MongoClient): void;
  use(): PoolUse;
}

/** `max` is one pool's; a driver has a pool for each server it knows. */
export function createPoolWatch(max: number): PoolWatch {
  /** By address: ids are unique within one pool. What was made before it was watched is learnt when it is used. */
  const pools = new Map<
    string,
    { readonly open: Set<unknown>; readonly used: Set<unknown>; waiting: number }
  >();

  function poolAt(address: string) {
    const pool = pools.get(address) ?? { open: new Set(), used: new Set(), waiting: 0 };
    pools.set(address, pool);
    return pool;
  }

  return {
    watch(client) {
      client.on('connectionCreated', ({ address, connectionId }) => {
        poolAt(address).open.add(connectionId);
      });
      client.on('connectionCheckOutStarted', ({ address }) => {
        poolAt(address).waiting += 1;
      });
      client.on('connectionCheckOutFailed', ({ address }) => {
        poolAt(address).waiting -= 1;
      });
      client.on('connectionCheckedOut', ({ address, connectionId }) => {
        const pool = poolAt(address);
        pool.waiting -= 1;
        pool.open.add(connectionId);
        pool.used.add(connectionId);
      });
      client.on('connectionCheckedIn', ({ address, connectionId }) => {
        poolAt(address).used.delete(connectionId);
      });
      client.on('connectionClosed', ({ address, connectionId }) => {
        const pool = poolAt(address);
        pool.open.delete(connectionId);
        pool.used.delete(connectionId);
      });
      client.on('connectionPoolClosed', ({ address }) => {
        pools.delete(address);
      });
    },
    use() {
      const sum = (of: (pool: ReturnType<typeof poolAt>) => number): number =>
        [...pools.values()].reduce((total, pool) => total + of(pool), 0);
      const used = sum((pool) => pool.used.size);
      return {
        used,
        idle: sum((pool) => pool.open.size) - used,
        waiting: sum((pool) => Math.max(0, pool.waiting)),
        max,
      };
    },
  };
}
