/** What is counted about documents, however many fields of nobody they have. */
import { ObjectId, serialize } from 'bson';
import { expect, it } from 'vitest';
import { classify, countsOf, createCounts } from '../../cutover/copy/classify.ts';
import { DEFAULT_CODEC, type Doc } from '../../db/canonical.ts';
import { toRaw } from '../../db/mongo/copy/raw-document.ts';
import { legacyUser } from '../mongo/legacy.ts';

it('cleaning is counted behind any number of unknown fields, of which the first 500 are named', () => {
  const counts = createCounts();
  const count = (document: Doc) =>
    classify(DEFAULT_CODEC, 'user', toRaw(serialize(document)), new Date(0), counts);
  const visits = Object.fromEntries(Array.from({ length: 600 }, (_, place) => [`visit_${place}`, 1]));
  count(legacyUser({ email: 'wide@example.org', ...visits }));
  for (let place = 0; place < 20; place += 1) {
    count(legacyUser({ _id: new ObjectId(), email: ` u${place}@example.org`, visit_3: 1, visit_590: 1 }));
  }
  const all = counts.toJson();
  expect(countsOf(all, 'clean:')).toEqual({ 'user.email: white-space': 20 });
  const unknown = countsOf(all, 'unknown:');
  expect(Object.keys(unknown)).toHaveLength(501);
  expect(unknown).toMatchObject({ 'user.visit_3': 21, 'user.visit_0': 1, 'user.(more)': 120 });
});
