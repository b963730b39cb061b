/** What all operations of the in-memory store share: the tables, and one atomic step for each operation. */
import { IdTaken, StaleWrite, type StoreName, StoreUnavailable } from '../../../db/errors.ts';
import type { WriteContext } from '../../../db/port.ts';
import { ENTITIES, type Entity, type New, type RecordOf } from '../../../db/records.ts';
import type { Aside, Held, RecordName } from '../../../db/replica.ts';
import type { Decision } from '../../../db/transitions.ts';

export type Tables = { readonly [E in Entity]: Map<string, Held<E>> };

export interface Operation {
  readonly store: StoreName;
  readonly name: string;
  readonly kind: 'read' | 'write';
}

/**
 * Called around every operation, for delays and faults: what `before` throws happened before the store was reached;
 * what `after` throws after the commit, so that only the answer was lost.
 */
export interface Hooks {
  readonly before?: (operation: Operation) => void | Promise<void>;
  readonly after?: (operation: Operation) => void | Promise<void>;
}

export type Operate = <T>(name: string, kind: Operation['kind'], step: () => T) => Promise<T>;

export interface Engine {
  readonly store: StoreName;
  readonly tables: Tables;
  /** For marks. */
  readonly now: () => Date;
  /** Runs one synchronous step between the hooks; what it wrote is taken back when it throws. */
  readonly operate: Operate;
  put<E extends Entity>(entity: E, id: string, held: Held<E>): void;
  remove(entity: Entity, id: string): void;
  /** What was moved aside, the latest first. */
  readonly asides: (Aside & { readonly userId: string })[];
  /** See `MemoryStore`. */
  readonly decided: Set<string>;
  leftBehind(names: readonly RecordName[]): ReadonlySet<string>;
  /** Takes out of it what is these users'; how many. */
  forgetKept(userIds: readonly string[]): number;
}

export function createEngine(store: StoreName, now: () => Date, hooks: Hooks): Engine {
  const tables: Tables = {
    user: new Map(),
    verificationToken: new Map(),
    resetToken: new Map(),
    session: new Map(),
  };
  const asides: Engine['asides'] = [];
  const decided = new Set<string>();
  let undo: (() => void)[] = [];

  function remember<E extends Entity>(entity: E, id: string): void {
    const table: Map<string, Held<E>> = tables[entity];
    const before = table.get(id);
    undo.push(() => {
      if (before === undefined) table.delete(id);
      else table.set(id, before);
    });
  }

  function atomically<T>(step: () => T): T {
    undo = [];
    try {
      return step();
    } catch (error) {
      for (const back of undo.reverse()) back();
      throw error;
    }
  }

  return {
    store,
    tables,
    now,
    async operate(name, kind, step) {
      await hooks.before?.({ store, name, kind });
      const result = atomically(step);
      await hooks.after?.({ store, name, kind });
      return result;
    },
    put<E extends Entity>(entity: E, id: string, held: Held<E>) {
      remember(entity, id);
      const table: Map<string, Held<E>> = tables[entity];
      table.set(id, held);
    },
    remove(entity, id) {
      remember(entity, id);
      tables[entity].delete(id);
    },
    asides,
    decided,
    leftBehind: (names) =>
      new Set(
        names.flatMap(({ entity, id }) =>
          decided.has(`${entity}/${id}`) && !tables[entity].has(id) ? [`${entity}/${id}`] : [],
        ),
      ),
    forgetKept(userIds) {
      const kept = asides.filter(({ userId }) => !userIds.includes(userId));
      const count = asides.length - kept.length;
      asides.splice(0, asides.length, ...kept);
      return count;
    },
  };
}

/** The writes of one operation; `tell` announces them once they have committed. */
export interface Writer {
  find<E extends Entity>(entity: E, id: string): RecordOf[E] | null;
  /** Throws `IdTaken`. */
  insert<E extends Entity>(entity: E, record: New<RecordOf[E]>): void;
  /** One guarded write; null when there is no record. Throws `StaleWrite`. */
  change<E extends Entity, R extends string>(
    entity: E,
    id: string,
    decide: (record: RecordOf[E]) => Decision<RecordOf[E], R>,
  ): { readonly done: RecordOf[E] } | { readonly refused: R } | null;
  /** To be called last in the step. Throws when there is something to write and it may not be. */
  commit(): void;
  tell(): void;
}

export function createWriter(engine: Engine, context: WriteContext): Writer {
  const written: [Entity, string][] = [];

  function find<E extends Entity>(entity: E, id: string): RecordOf[E] | null {
    const table: Map<string, Held<E>> = engine.tables[entity];
    return table.get(id)?.record ?? null;
  }

  function store<E extends Entity>(entity: E, next: New<RecordOf[E]>, version: number): RecordOf[E] {
    const { id } = next;
    const record = { ...next, stamp: { epoch: context.epoch, version } } as RecordOf[E];
    const marked = engine.tables[entity].get(id)?.pendingAt ?? null;
    engine.put(entity, id, { record, pendingAt: marked ?? (context.pending ? engine.now() : null) });
    written.push([entity, id]);
    return record;
  }

  return {
    find,
    insert(entity, record) {
      if (engine.tables[entity].has(record.id)) throw new IdTaken(entity);
      store(entity, record, 1);
    },
    change(entity, id, decide) {
      const before = find(entity, id);
      if (before === null) return null;
      const decision = decide(before);
      if ('refused' in decision) return decision;
      if (before.stamp.epoch > context.epoch) throw new StaleWrite(entity, before.stamp, context.epoch);
      return { done: store(entity, decision.next, before.stamp.version + 1) };
    },
    commit() {
      if (written.length > 0 && context.mayContinue?.() === false) {
        throw new StoreUnavailable(engine.store, 'none', 'lease-lost');
      }
    },
    tell() {
      for (const [entity, id] of written) context.onWrite?.(entity, id);
    },
  };
}

export function records<E extends Entity>(engine: Engine, entity: E): RecordOf[E][] {
  const table: Map<string, Held<E>> = engine.tables[entity];
  return [...table.values()].map(({ record }) => record);
}

export function countMarks({ tables }: Engine): number {
  const held = ENTITIES.flatMap((entity) => [...tables[entity].values()]);
  return held.filter(({ pendingAt }) => pendingAt !== null).length;
}
