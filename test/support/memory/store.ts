/**
 * A store in memory that keeps the contracts of `port.ts` and `replica.ts`, for simulations: each operation is one
 * synchronous step, so that with a clock and hooks of the caller's a run can be replayed.
 */
import type { StoreName } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';
import { ENTITIES } from '../../../db/records.ts';
import { createBooks, imageOf } from './books.ts';
import { countMarks, createEngine, type Hooks, type Tables } from './engine.ts';
import { createLimits } from './limits.ts';
import { createReplica } from './replica.ts';
import { createRepository } from './repository.ts';

export type { Hooks, Operation } from './engine.ts';

export interface MemoryStoreOptions {
  /** Which store it stands in for; sessions need their user's row only in PostgreSQL. */
  readonly name: StoreName;
  /** For marks. Default: the process's clock. */
  readonly now?: () => Date;
  readonly hooks?: Hooks;
  /** Which history it goes on, as PostgreSQL says it. Default: it does not say. */
  readonly history?: () => string | null;
}

export interface MemoryStore extends Store {
  /** What is stored, for looking behind its back. */
  readonly tables: Tables;
  /** What a copy put aside for good, as `entity/id`: whatever of it is not here was left behind. */
  readonly decided: Set<string>;
  /** Of what is stored now, the control record too; called, it puts that back. */
  image(): () => void;
}

export function createMemoryStore(options: MemoryStoreOptions): MemoryStore {
  const { name, now = () => new Date(), hooks = {}, history = () => null } = options;
  const engine = createEngine(name, now, hooks);
  const { operate } = engine;
  const { control, noteCounts, image, ...books } = createBooks(operate);
  return {
    name,
    tables: engine.tables,
    decided: engine.decided,
    image() {
      const all = [image(), ...ENTITIES.map((entity) => imageOf<string, unknown>(engine.tables[entity]))];
      return () => {
        for (const putBack of all) putBack();
      };
    },
    at: (context) => createRepository(engine, context),
    limits: createLimits(operate),
    replica: createReplica(engine, control),
    books,
    changes: null,
    ping: () => operate('ping', 'read', () => {}),
    describe: () => operate('describe', 'read', () => 'Memory 1.0'),
    history: async () => history(),
    clock: () => operate('clock', 'read', now),
    assurance: () => operate('assurance', 'read', () => ({ marks: countMarks(engine), notes: noteCounts() })),
    leftBehind: (names) => operate('leftBehind', 'read', () => engine.leftBehind(names)),
    poolUse: () => ({ used: 0, idle: 0, waiting: 0, max: 0 }),
    durabilityProblems: () => operate('durabilityProblems', 'read', () => []),
    sessionProblems: () => operate('sessionProblems', 'read', () => []),
    isMigrated: () => operate('isMigrated', 'read', () => true),
    migrate: async () => {},
    close: async () => {},
  };
}
