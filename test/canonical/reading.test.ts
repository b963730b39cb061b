/** The digest that guards "one mapping everywhere" also says how documents are read under it. */
import { createHash } from 'node:crypto';
import { EJSON } from 'bson';
import { expect, it } from 'vitest';
import { createCodec, READING } from '../../db/canonical/codec.ts';
import { DEFAULT_CODEC, DEFAULT_MAPPING, type Doc } from '../../db/canonical.ts';
import type { Entity } from '../../db/records.ts';
import type { LegacyCase } from '../copy/legacy/cases.ts';
import { SESSIONS } from '../copy/legacy/sessions.ts';
import { RESET_TOKENS, VERIFICATION_TOKENS } from '../copy/legacy/tokens.ts';
import { USERS } from '../copy/legacy/users.ts';

const CASES: readonly (readonly [Entity, readonly LegacyCase[]])[] = [
  ['user', USERS],
  ['verificationToken', VERIFICATION_TOKENS],
  ['resetToken', RESET_TOKENS],
  ['session', SESSIONS],
];
/** Readings that were, and what the hand-written documents of old services meant by each. */
const MEANT: Readonly<Record<number, string>> = {
  1: 'bb0f0322250b4011',
  2: 'b4ba82ddefc7187d',
  3: '9a0b45f83d97ab92',
};

/** The record, or why there is none. What is counted on the way means nothing. */
function meaningOf(entity: Entity, { document, literal }: LegacyCase): unknown {
  const doc: Doc = { ...EJSON.parse(JSON.stringify(document), { relaxed: false }), ...literal };
  const read = DEFAULT_CODEC.read(entity, doc);
  return 'bad' in read ? read.bad.map(({ field, reason }) => [field, reason]) : read.record;
}

it('documents that mean something else raise the reading', () => {
  const meant = CASES.map(([entity, cases]) => cases.map((each) => meaningOf(entity, each)));
  const hash = createHash('sha256').update(JSON.stringify(meant)).digest('hex').slice(0, 16);
  expect(
    hash,
    'a document here means something else than it did: raise READING, and put this hash beside it. ' +
      'Only where nothing but new documents have been added may it take the place of the last one',
  ).toBe(MEANT[READING]);
  expect(Math.max(...Object.keys(MEANT).map(Number))).toBe(READING);
});

it('the reading is in the digest', () => {
  const bare = createHash('sha256').update(JSON.stringify(DEFAULT_MAPPING)).digest('hex').slice(0, 16);
  expect(createCodec(DEFAULT_MAPPING).digest).not.toBe(bare);
});
