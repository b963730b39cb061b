import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely';
import type { Database } from './database.ts';

/** Builds statements without a connection. */
const builder = new Kysely<Database>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
});

/** Runs a statement built before, and returns its rows. */
export type Statement<P extends readonly unknown[], O> = (
  db: Kysely<Database>,
  ...values: P
) => Promise<readonly O[]>;

/**
 * A statement for a hot path, built once: building it anew takes Kysely longer than PostgreSQL takes to answer.
 * `build` gets stand-ins for the values, to be used as parameters only.
 */
export function prepare<P extends readonly unknown[]>() {
  return <O>(build: (db: Kysely<Database>, ...values: P) => CompiledQuery<O>): Statement<P, O> => {
    const standIns = Array.from({ length: build.length - 1 }, (_, index) => ({ index }));
    // The builder passes any object on as a parameter without looking at it.
    const compiled = build(builder, ...(standIns as readonly unknown[] as P));
    const order = compiled.parameters.map((parameter) => (standIns as readonly unknown[]).indexOf(parameter));
    if (order.includes(-1)) throw new Error('a prepared statement holds a value of its own');
    return async (db, ...values) => {
      const query: CompiledQuery<O> = { ...compiled, parameters: order.map((index) => values[index]) };
      return (await db.executeQuery(query)).rows;
    };
  };
}
