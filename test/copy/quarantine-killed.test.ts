/** The verbs of quarantine, killed between any two of their steps: said again, they end what they had begun. */
import { ObjectId } from 'bson';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type CopyScope,
  listQuarantine,
  resolveQuarantine,
  retryQuarantine,
  runBackfill,
} from '../../cutover/copy/index.ts';
import { NOTES } from '../../cutover/notes.ts';
import type { Store } from '../../db/port.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { openBench } from './support.ts';

/** More than any of the verbs takes. */
const STEPS_MAX = 40;

class Killed extends Error {}

describe('killed between any two steps', async () => {
  const bench = await openBench();
  const bad = Array.from({ length: 3 * STEPS_MAX }, () => legacyUser({ email: [] }));
  const ids = bad.map(({ _id }) => String(_id));

  beforeAll(async () => {
    await bench.insert('user', bad);
    await bench.setMode('dual-write');
    await runBackfill(bench, { from: 'mongo', onBad: 'quarantine' });
  });

  /** A process that is gone before its step of this number: nothing it would do later happens. */
  function dyingAt(step: number): CopyScope {
    let steps = 0;
    const dying = <T extends object>(whole: T): T =>
      new Proxy(whole, {
        get(target, name) {
          const part: unknown = Reflect.get(target, name);
          if (name === 'books' || name === 'replica') return dying(part as object);
          if (typeof part !== 'function') return part;
          return (...given: unknown[]) => {
            steps += 1;
            if (steps >= step) throw new Killed();
            return Reflect.apply(part, target, given);
          };
        },
      });
    const { mongo, postgres }: { readonly mongo: Store; readonly postgres: Store } = bench.stores;
    return {
      ...bench,
      stores: { mongo: dying(mongo), postgres: dying(postgres) },
      postgres: dying(bench.postgres),
    };
  }

  /** Kills it at one step after the other, each time with another document, until it gets to its end. */
  async function atEachStep(verb: (scope: CopyScope, id: string) => Promise<unknown>, from: number) {
    for (let step = 1; step <= STEPS_MAX; step += 1) {
      const id = ids[from + step - 1] ?? '';
      const isKilled = await verb(dyingAt(step), id).then(
        () => false,
        (error: unknown) => {
          if (error instanceof Killed) return true;
          throw error;
        },
      );
      await verb(bench, id);
      await expectSettled(id);
      if (!isKilled) return step;
    }
    throw new Error('more steps than expected');
  }

  async function expectSettled(id: string): Promise<void> {
    const keys = (await bench.stores.mongo.books.notes(NOTES.quarantine, { limit: 1_000 })).map(
      ({ key }) => key,
    );
    expect(keys).not.toContain(`user/${id}`);
    expect((await listQuarantine(bench)).map((each) => each.id)).not.toContain(id);
  }

  const logged = async (id: string) =>
    (await bench.stores.mongo.books.readLog({ limit: 1_000 })).filter(({ body }) =>
      JSON.stringify(body).includes(id),
    );

  it.each(['accept', 'drop'] as const)('%s', async (verb) => {
    const from = verb === 'accept' ? 0 : STEPS_MAX;
    const reason = 'never signed in';
    const steps = await atEachStep(
      (scope, id) => resolveQuarantine(scope, { entity: 'user', id, verb, reason }),
      from,
    );
    expect(steps).toBeGreaterThan(5);
    for (const id of ids.slice(from, from + steps)) expect(await logged(id)).toHaveLength(1);
    const rows = await bench.postgres.query<{ state: string; kept: boolean }>(
      `select distinct state, document <> '' as kept from copy_quarantine where record_id = any($1)`,
      [ids.slice(from, from + steps)],
    );
    expect(rows).toEqual([
      verb === 'accept' ? { state: 'accepted', kept: true } : { state: 'dropped', kept: false },
    ]);
  });

  it('retry', async () => {
    const from = 2 * STEPS_MAX;
    const users = bench.mongo.collection('user');
    const retried = async (scope: CopyScope, id: string) => {
      await users.updateOne({ _id: new ObjectId(id) as never }, { $set: { email: `${id}@x.org` } });
      // As an operator does who knows only that it did not end.
      await retryQuarantine(scope, scope === bench ? undefined : { entity: 'user', id });
    };
    const steps = await atEachStep(retried, from);
    expect(steps).toBeGreaterThan(5);
    const marks = await bench.stores.mongo.replica.marks({ limit: 100 });
    expect(marks.map(({ id }) => id).sort()).toEqual(ids.slice(from, from + steps).sort());
  });
});
