/**
 * Who answers to an e-mail: the exact spelling, then the normalised key, then, among accounts whose key an older one
 * holds or that have none yet, any letter case, the oldest first.
 */
import { at, type Doc, type Path, STORE_FIELDS } from '../canonical.ts';
import { emailKey } from '../email.ts';
import { compareIds } from '../ids.ts';
import type { UserRecord } from '../records.ts';
import type { Client } from './client.ts';
import type { StoredDoc } from './models.ts';
import { idOf } from './replica/documents.ts';

/** Spellings that differ in letter case only are few; the bound is for a collection gone wrong. */
const CANDIDATES_MAX = 100;

/** Null is how an index finds absent fields; no document holds a null there. See `indexes.ts`. */
const UNKEYED: Doc = { [STORE_FIELDS.emailKey]: null };

export interface Holder {
  readonly doc: StoredDoc;
  readonly user: UserRecord;
}

export interface EmailLookup {
  /** Living users who answer to this e-mail, the first of them first. */
  readonly holders: readonly Holder[];
  /** Legacy documents without a key were among what was looked at. */
  readonly unkeyed: boolean;
}

/** Once every document has its key, a known and an unknown e-mail take as long. */
export async function lookUpEmail(client: Client, email: string): Promise<EmailLookup> {
  const key = emailKey(email);
  const { codec } = client;
  const path = codec.path('user', 'email');
  const read = (filter: Doc, limit = CANDIDATES_MAX): Promise<StoredDoc[]> =>
    client.readCommitted(({ models }, firm) =>
      models.user
        .find(filter, null, { limit, ...firm })
        .lean<StoredDoc[]>()
        .exec(),
    );
  const byKey = () => [
    read({ [STORE_FIELDS.emailKey]: { $eq: key } }),
    read({ [STORE_FIELDS.emailKeyDuplicate]: { $eq: key } }),
  ];
  // Not one `$or`: each of these is sure of its own index, on servers with simpler planners too.
  const [exact = [], unkeyed = [], ...answers] = await Promise.all([
    read({ [path.text]: { $eq: email } }),
    read(UNKEYED, 1),
    ...byKey(),
  ]);
  const keyed = answers.flat();
  // Looking through all documents without a key is for what no index can answer.
  const isFallback = unkeyed.length > 0 && exact.length === 0;
  const anywhere = codec.sources('user', path).map(({ text }) => ({
    [text]: { $regex: anyCase(key), $options: 'i' },
  }));
  const others = isFallback ? await read({ ...UNKEYED, $or: anywhere }) : [];
  // Whoever got a key between those questions is in none of the answers.
  const late = isFallback && others.length === 0 ? await Promise.all(byKey()) : [];
  const found = [...exact, ...keyed, ...others, ...late.flat()];
  // What has no id of ours is nobody's account.
  const byId = new Map(found.map((doc) => [idOf(doc), doc]));
  byId.delete(null);
  const docs = [...byId.values()];
  const holders = docs.flatMap((doc) => {
    const canonical = codec.read('user', doc);
    // A key can be stale, when the old service changed the e-mail under it: the e-mail itself decides.
    return 'record' in canonical && canonical.record.emailKey === key
      ? [{ doc, user: canonical.record }]
      : [];
  });
  holders.sort(
    (a, b) => rank(a.doc, path, email, key) - rank(b.doc, path, email, key) || compareAge(a.user, b.user),
  );
  return { holders, unkeyed: unkeyed.length > 0 };
}

/** Negative when `a` is the older account. */
export function compareAge(a: UserRecord, b: UserRecord): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || compareIds(a.id, b.id);
}

function rank(doc: Doc, path: Path, email: string, key: string): number {
  if (at(doc, path) === email) return 0;
  return doc[STORE_FIELDS.emailKey] === key ? 1 : 2;
}

/** Any letter case, either Unicode form, white space around it. */
function anyCase(key: string): string {
  const forms = [...new Set([key, key.normalize('NFD')])].map(escapeRegex);
  return `^\\s*(?:${forms.join('|')})\\s*$`;
}

function escapeRegex(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|#\s-]/g, '\\$&');
}
