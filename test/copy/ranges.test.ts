/** Where the server seeks in its index of `_id`, a large collection is cut into ranges of one type each. */
import { ObjectId } from 'bson';
import { describe, expect, it } from 'vitest';
import { type CopyScope, runBackfill, verify } from '../../cutover/copy/index.ts';
import { usefulParts } from '../../db/mongo/copy/ranges.ts';
import { legacyUser } from '../mongo/legacy.ts';
import { asSuperuser } from '../support/databases.ts';
import { openBench } from './support.ts';

type Collection = ReturnType<CopyScope['mongo']['collection']>;

const SEEKING = { winningPlan: { stage: 'FETCH', inputStage: { stage: 'IXSCAN', keyPattern: { _id: 1 } } } };
const READING_ALL = { winningPlan: { stage: 'SORT', inputStage: { stage: 'COLLSCAN' } } };

/** The same collection, of a server that plans like this and says that it holds so many. */
function plannedAs(queryPlanner: object, count: number, collection: Collection): Collection {
  const own: Readonly<Record<string, unknown>> = {
    estimatedDocumentCount: async () => count,
    find: (...given: Parameters<Collection['find']>) =>
      Object.assign(collection.find(...given), { explain: async () => ({ queryPlanner }) }),
  };
  return new Proxy(collection, {
    get(target, name) {
      const part: unknown = own[String(name)] ?? Reflect.get(target, name);
      return typeof part === 'function' ? part.bind(target) : part;
    },
  });
}

const idAt = (place: number): ObjectId =>
  ObjectId.createFromHexString((0x1000 * place).toString(16).padStart(24, '0'));

describe('ranges of a collection', async () => {
  const bench = await openBench();
  const scopeOf = (queryPlanner: object, count: number): CopyScope => {
    const collection: CopyScope['mongo']['collection'] = (entity) =>
      plannedAs(queryPlanner, count, bench.mongo.collection(entity));
    return { ...bench, mongo: { ...bench.mongo, collection } };
  };

  it.each([
    ['four of many documents', SEEKING, 1_000_000, 4],
    ['two of some', SEEKING, 150_000, 2],
    ['one of few', SEEKING, 50_000, 1],
    ['one where each would cost a pass over all of them', READING_ALL, 1_000_000, 1],
  ])('are %s', async (_what, plan, count, parts) => {
    expect(await usefulParts(scopeOf(plan, count).mongo, 'user', 4)).toBe(parts);
  });

  it('together are copied and verified whole, in both directions', async () => {
    const scope = scopeOf(SEEKING, 1_000_000);
    const _ids = [...Array.from({ length: 40 }, (_, place) => idAt(place + 1)), 3, 70, 'textual', true];
    await bench.insert(
      'user',
      _ids.map((_id, place) => legacyUser({ _id, email: `u${place}@x.org` })),
    );
    await bench.setMode('dual-write');
    const { run, counts } = await runBackfill(scope, { from: 'mongo', onBad: 'rollback' });
    expect(counts).toMatchObject({ read: 44, inserted: 44 });
    const ranges = await bench.postgres.query<{ type: string }>(
      `select bounds ->> 'type' as type from copy_ranges where run = $1 and entity = 'user'`,
      [run],
    );
    expect(ranges.map(({ type }) => type).sort()).toEqual([
      ...[
        'bool',
        'number',
        'number',
        'number',
        'number',
        'objectId',
        'objectId',
        'objectId',
        'objectId',
        'string',
      ],
    ]);
    expect(await verify(scope)).toMatchObject({ clean: true, compared: 48 });

    // Below the first, between two, and above the last of them; and one that is not there.
    const strays = ['1', '5001', 'f'.repeat(24)].map((id) => id.padStart(24, '0'));
    await asSuperuser(
      bench.urls.postgres,
      `insert into users select stray.* from users as one, unnest($1::text[]) as other (name),
         jsonb_populate_record(null::users, to_jsonb(one) || jsonb_build_object('id', other.name, 'email_key', other.name)) as stray
       where one.id = 'textual'`,
      [strays],
    );
    const lost = String(idAt(17));
    await asSuperuser(bench.urls.postgres, 'delete from users where id = $1', [lost]);
    const { differences } = await verify(scope);
    expect(differences.map(({ id, kind }) => [id, kind]).sort()).toEqual(
      [...strays.map((id) => [id, 'only-in-mirror']), [lost, 'missing-in-mirror']].sort(),
    );
  });
});
