/** Why a document that reads well by itself is not to be moved yet: another one is in its way. */
import { decodeIds } from '../../db/ids.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import type { Quarantined } from '../../db/postgres/copy/findings.ts';
import type { RecordOf, UserRecord } from '../../db/records.ts';
import { classify, createCounts } from './classify.ts';
import type { CopyScope } from './types.ts';

/** The field that says so; null: nothing is. */
export type InTheWay = (
  held: Pick<Quarantined, 'run'>,
  record: RecordOf[keyof RecordOf],
) => Promise<'email' | 'userId' | null>;

/** Users by their e-mail keys. */
type Holders = ReadonlyMap<string, readonly string[]>;
/** The users among whom this one was found to share an e-mail, as they are now. */
type FindSharing = (id: string) => Promise<Holders>;

const PAGE = 200;
const NOBODY: Holders = new Map();

/** Of whom it was said that they stay behind, whatever their documents are by now: they are in nobody's way. */
const isDecided = (id: string): string =>
  `exists (select from copy_quarantine as said where said.entity = 'user' and said.record_id = ${id}
     and said.state in ('accepted', 'dropped'))`;

/** For one look at all that is held: what is said of many is read once. */
export function createInTheWay({ mongo, postgres }: CopyScope): InTheWay {
  const runs = new Map<string, Promise<FindSharing>>();

  async function holdersAmong(ids: readonly string[]): Promise<Holders> {
    const holders = new Map<string, string[]>();
    for (let from = 0; from < ids.length; from += PAGE) {
      for await (const raw of eachRaw(mongo, 'user', decodeIds(ids.slice(from, from + PAGE)))) {
        const read = classify(mongo.codec, 'user', raw, new Date(0), createCounts());
        const key = read.kind === 'good' ? read.record.emailKey : null;
        if (key === null) continue;
        const held = holders.get(key);
        if (held === undefined) holders.set(key, [raw.id]);
        else held.push(raw.id);
      }
    }
    return holders;
  }

  /** By what was said of each of them: where many share one, it does not name them all. */
  async function sharingIn(run: string): Promise<FindSharing> {
    const rows = await postgres.query<{ id: string; said: string; behind: boolean }>(
      `select record_id as id, md5(detail::text) as said, ${isDecided('copy_findings.record_id')} as behind
       from copy_findings where run = $1 and entity = 'user' and reason = 'duplicate-email'`,
      [run],
    );
    const saidOf = new Map(rows.map(({ id, said }) => [id, said]));
    const sharing = Map.groupBy(
      rows.filter(({ behind }) => !behind),
      ({ said }) => said,
    );
    const known = new Map<string, Promise<Holders>>();
    return async (id) => {
      const said = saidOf.get(id);
      if (said === undefined) return NOBODY;
      const holders = known.get(said) ?? holdersAmong((sharing.get(said) ?? []).map((row) => row.id));
      known.set(said, holders);
      return holders;
    };
  }

  /** Whether another living user has the e-mail. */
  async function isShared(run: string, { id, emailKey }: UserRecord): Promise<boolean> {
    if (emailKey === null) return false;
    const finding = runs.get(run) ?? sharingIn(run);
    runs.set(run, finding);
    const found = await (await finding)(id);
    if (found.get(emailKey)?.some((other) => other !== id) === true) return true;
    const copied = await postgres.query<{ id: string }>(
      `select id from users where email_key = $2 and id <> $1 and not ${isDecided('users.id')}`,
      [id, emailKey],
    );
    return (await holdersAmong(copied.map((row) => row.id))).has(emailKey);
  }

  /** Whether a user was put aside, and the other store has none of that name. */
  async function isOfAside(userId: string): Promise<boolean> {
    const rows = await postgres.query(
      `select from copy_quarantine where entity = 'user' and record_id = $1 and state <> 'moved'
       and not exists (select from users where id = $1)`,
      [userId],
    );
    return rows.length > 0;
  }

  return async ({ run }, record) => {
    if ('emailKey' in record) return (await isShared(run, record)) ? 'email' : null;
    return 'tokenHash' in record && 'rotation' in record && (await isOfAside(record.userId))
      ? 'userId'
      : null;
  };
}
