import type { StoreName } from '../../db/errors.ts';
import { createMemoryStore } from '../support/memory/store.ts';
import type { StoreDriver } from './harness.ts';

export function memoryDriver(name: StoreName): StoreDriver {
  return {
    name: `memory, as ${name}`,
    commits: 'together',
    async open() {
      const store = createMemoryStore({ name });
      return {
        store,
        async readRaw(entity, id) {
          const held = store.tables[entity].get(id);
          if (held === undefined) return null;
          const { stamp, ...fields } = held.record;
          return { ...fields, ...stamp, pendingAt: held.pendingAt };
        },
        close: () => store.close(),
      };
    },
  };
}
