/** A dry classification: what a copy would clean, refuse or leave, without a word to the other store. */
import { createHash } from 'node:crypto';
import type { Codec } from '../../db/canonical.ts';
import { emailKey, isMailbox } from '../../db/email.ts';
import { type RawDocument, toRaw } from '../../db/mongo/copy/raw-document.ts';
import type { MongoSession } from '../../db/mongo/snapshot/client.ts';
import { countDocuments, readDocuments } from '../../db/mongo/snapshot/inspect.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { classify, countsOf, createCounts, type Flaw } from '../copy/classify.ts';
import { type Chooser, choosersOf, type DuplicatePolicy } from '../copy/policy.ts';
import { type FindSession, rivalOf } from '../copy/rivals.ts';
import type { BadLine, Documents } from './types.ts';

const EXAMPLES_MAX = 20;

export interface Dry {
  readonly documents: readonly Documents[];
  readonly read: number;
}

/** `sample` null: every document, read once, never more than a batch of them in memory. */
export async function classifyDocuments(session: MongoSession, options: DryOptions): Promise<Dry> {
  const documents: Documents[] = [];
  for (const entity of ENTITIES) documents.push(await classifyEntity(session, entity, options));
  return { documents, read: documents.reduce((sum, each) => sum + each.read, 0) };
}

interface DryOptions {
  readonly codec: Codec;
  readonly policy: DuplicatePolicy | null;
  readonly sample: number | null;
  readonly expiredBefore: Date;
  /** Which of these stay behind by an operator's word. */
  readonly findLeftBehind: FindLeftBehind;
  readonly signal?: AbortSignal;
}

export type FindLeftBehind = (entity: Entity, raws: readonly RawDocument[]) => Promise<ReadonlySet<string>>;

async function classifyEntity(
  session: MongoSession,
  entity: Entity,
  options: DryOptions,
): Promise<Documents> {
  const { codec, sample, expiredBefore, findLeftBehind, signal } = options;
  const collection = codec.collections[entity];
  const counts = createCounts();
  const examples: BadLine[] = [];
  const keys = sample === null && entity === 'user' ? createKeys() : null;
  const tally = { read: 0, expired: 0, bad: 0, leftBehind: 0, mailboxIds: 0 };
  for await (const batch of readDocuments(session, collection, sample)) {
    signal?.throwIfAborted();
    const bad: { readonly raw: RawDocument; readonly flaws: readonly Flaw[] }[] = [];
    for (const bytes of batch) {
      tally.read += 1;
      const raw = toRaw(bytes);
      if (isMailbox(raw.id)) tally.mailboxIds += 1;
      const result = classify(codec, entity, raw, expiredBefore, counts);
      if (result.kind === 'expired') tally.expired += 1;
      if (
        result.kind === 'good' &&
        keys !== null &&
        'email' in result.record &&
        result.record.email !== null
      ) {
        keys.add(emailKey(result.record.email));
      }
      if (result.kind === 'bad') bad.push({ raw, flaws: result.flaws });
    }
    const behind = await findLeftBehind(
      entity,
      bad.map(({ raw }) => raw),
    );
    tally.leftBehind += behind.size;
    for (const { raw, flaws } of bad) {
      if (behind.has(raw.id)) continue;
      tally.bad += 1;
      for (const { field, reason } of flaws) {
        if (examples.length < EXAMPLES_MAX) examples.push({ id: raw.id, field, reason });
      }
    }
  }
  const all = counts.toJson();
  const shared = keys?.shared() ?? null;
  return {
    entity,
    collection,
    total: sample === null ? tally.read : await countDocuments(session, collection),
    ...tally,
    cleaned: countsOf(all, `clean:${entity}.`),
    unknownFields: countsOf(all, `unknown:${entity}.`),
    examples,
    duplicates: shared?.length ?? null,
    undecided: shared && (await undecidedOf(session, options, new Set(shared))),
  };
}

const FIRST_SIZE = 1_024;

/** Which keys came more than once, at eight bytes each. */
function createKeys() {
  let keys = new BigUint64Array(FIRST_SIZE);
  let length = 0;
  return {
    add(key: string): void {
      if (length === keys.length) {
        const grown = new BigUint64Array(keys.length * 2);
        grown.set(keys);
        keys = grown;
      }
      keys[length] = hashOf(key);
      length += 1;
    },
    /** Keys that are like an earlier one, each as often as that. */
    shared(): readonly bigint[] {
      const sorted = keys.subarray(0, length).sort();
      return [...sorted.filter((key, at) => at > 0 && key === sorted[at - 1])];
    },
  };
}

const hashOf = (key: string): bigint => createHash('sha256').update(key).digest().readBigUInt64LE();

const NO_POLICY: DuplicatePolicy = { rules: [], keep: {} };

/** How many users would still be bad: those who share an e-mail are read once more, and the policy asked. */
async function undecidedOf(
  session: MongoSession,
  { codec, policy, findLeftBehind }: DryOptions,
  shared: ReadonlySet<bigint>,
): Promise<number> {
  if (shared.size === 0) return 0;
  const groups = new Map<string, { users: number; readonly chooser: Chooser }>();
  const sessions = session.db.collection(codec.collections.session);
  const findSession: FindSession = (filter, options) => sessions.findOne(filter as never, options as never);
  const given = policy ?? NO_POLICY;
  const newChooser = choosersOf(given);
  for await (const batch of readDocuments(session, codec.collections.user, null)) {
    const sharing = batch.flatMap((bytes) => {
      const raw = toRaw(bytes);
      const result = classify(codec, 'user', raw, new Date(0), createCounts());
      if (raw.doc === null || result.kind !== 'good' || result.record.emailKey === null) return [];
      const key = result.record.emailKey;
      return shared.has(hashOf(key)) ? [{ raw, doc: raw.doc, key, user: result.record }] : [];
    });
    const behind = await findLeftBehind(
      'user',
      sharing.map(({ raw }) => raw),
    );
    for (const { raw, doc, key, user } of sharing) {
      if (behind.has(raw.id)) continue;
      const group = groups.get(key) ?? { users: 0, chooser: newChooser() };
      groups.set(key, group);
      group.users += 1;
      group.chooser.add(await rivalOf(given, { doc, user }, codec, findSession));
    }
  }
  let undecided = 0;
  for (const { users, chooser } of groups.values()) {
    if (users > 1 && chooser.choice().winner === null) undecided += users;
  }
  return undecided;
}
