/**
 * Users that share an e-mail. Some only seem to: one gave the address up and another took it while the copy read, so
 * their documents are read once more. What is left is bad, unless a policy says who keeps the address. Any number may
 * share one, so they are looked at a page at a time.
 */
import { compareIds, decodeIds } from '../../db/ids.ts';
import type { RawDocument } from '../../db/mongo/copy/raw-document.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import { sessionsOfAside, sharedEmails, stagedByKey, unstage } from '../../db/postgres/copy/checks.ts';
import type { Connection } from '../../db/postgres/copy/client.ts';
import { decisions, noteDecisions, resetDecisions } from '../../db/postgres/copy/decisions.ts';
import {
  BY_POLICY,
  decidedAmong,
  type Original,
  putAside,
  putFindings,
  WITH_ITS_USER,
} from '../../db/postgres/copy/findings.ts';
import { toLine } from '../../db/postgres/copy/rows.ts';
import { stageLines } from '../../db/postgres/copy/staging.ts';
import type { Entity } from '../../db/records.ts';
import { classify, createCounts, type Flaw } from './classify.ts';
import { originalOf, staysBehind } from './originals.ts';
import { type Choice, type Chooser, choosersOf } from './policy.ts';
import { type FindSession, rivalOf } from './rivals.ts';
import type { RunBody } from './run.ts';
import { toFindings } from './stage.ts';
import type { CopyScope } from './types.ts';

const PAGE = 200;
/** Of the range that restaged rows belong to: none. */
const NO_RANGE = 0;
/** Of originals that are put aside at once. */
const ASIDE_CHARS_MAX = 4 * 1024 * 1024;
/** Users change their addresses while this looks, but not for ever. */
const ROUNDS_MAX = 5;

interface Tally {
  /** Users that were found bad. */
  bad: number;
  /** Users that lost their address to another by the policy. */
  passedOver: number;
  /** Users that have another address by now, which others may have as well. */
  moved: number;
}

interface Work {
  readonly scope: CopyScope;
  readonly run: string;
  readonly body: RunBody;
  /** Null: there is no policy. */
  readonly newChooser: (() => Chooser) | null;
  readonly tally: Tally;
}

/** How many users were found bad, and how many lost their address to another by the policy. */
export async function settleDuplicates(
  scope: CopyScope,
  run: string,
  body: RunBody,
): Promise<{ readonly bad: number; readonly passedOver: number }> {
  const tally: Tally = { bad: 0, passedOver: 0, moved: 0 };
  const newChooser = body.duplicates && choosersOf(body.duplicates);
  const work: Work = { scope, run, body, newChooser, tally };
  await resetDecisions(scope.postgres);
  for (let round = 0, seen = -1; round < ROUNDS_MAX && seen < tally.moved; round += 1) {
    seen = tally.moved;
    for (let after = ''; ; ) {
      const keys = await sharedEmails(scope.postgres, { after, limit: PAGE });
      for (const key of keys) await settle(work, key);
      after = keys.at(-1) ?? after;
      if (keys.length < PAGE) break;
    }
  }
  return tally;
}

const IDS_MAX = 100;
const NOBODY: Choice = { winner: null, by: 'no policy' };
const FLAWS: readonly Flaw[] = [{ field: 'email', reason: 'duplicate-email' }];

async function settle(work: Work, emailKey: string): Promise<void> {
  const { scope, tally } = work;
  const chooser = work.newChooser?.() ?? null;
  let rivals = 0;
  const first: string[] = [];
  for await (const ids of pagesOf(scope, emailKey)) {
    const left = await readAgain(work, { emailKey, ids, chooser });
    rivals += left.length;
    first.push(...left.slice(0, IDS_MAX - first.length));
  }
  if (rivals < 2) return;
  const choice = chooser?.choice() ?? NOBODY;
  // Of an address that thousands share not each is named with each other.
  const detail = rivals <= IDS_MAX ? { ids: first } : { ids: first, more: rivals - IDS_MAX };
  for await (const ids of pagesOf(scope, emailKey)) {
    const losers = ids.filter((id) => id !== choice.winner);
    await giveUp(work, losers, choice, detail);
    if (choice.winner === null) tally.bad += losers.length;
    else tally.passedOver += losers.length;
  }
}

/** Staged users of an e-mail key. What becomes of one page does not touch the next. */
async function* pagesOf({ postgres }: CopyScope, emailKey: string): AsyncGenerator<readonly string[]> {
  for (let after = ''; ; ) {
    const ids = await stagedByKey(postgres, emailKey, { after, limit: PAGE });
    if (ids.length > 0) yield ids;
    if (ids.length < PAGE) return;
    after = ids.at(-1) ?? after;
  }
}

interface Shared {
  readonly emailKey: string;
  readonly ids: readonly string[];
  readonly chooser: Chooser | null;
}

/** A user that has another address by now. */
interface Moved {
  readonly line: string;
  readonly raw: RawDocument;
}

/**
 * Those that still have the address, by their documents as they stand now. Who is gone, cannot be read any more or stays
 * behind is taken out of staging, and who has another address is staged with that.
 */
async function readAgain(work: Work, { emailKey, ids, chooser }: Shared): Promise<readonly string[]> {
  const { scope, body, tally } = work;
  const { mongo, postgres } = scope;
  const decided = await postgres.transaction((connection) => decidedAmong(connection, 'user', ids));
  const rivals: string[] = [];
  const moved: Moved[] = [];
  for await (const raw of eachRaw(mongo, 'user', decodeIds(ids))) {
    const result = classify(mongo.codec, 'user', raw, new Date(0), createCounts());
    if (result.kind !== 'good' || (decided.has(raw.id) && (await isLeft(scope, raw)))) continue;
    const { record: user, isMarked } = result;
    if (user.emailKey !== emailKey) {
      moved.push({ line: toLine('user', user, { range: NO_RANGE, isMarked }), raw });
      continue;
    }
    rivals.push(user.id);
    if (chooser === null || body.duplicates === null) continue;
    chooser.add(await rivalOf(body.duplicates, { doc: raw.doc ?? {}, user }, mongo.codec, sessionsIn(scope)));
  }
  const others = ids.filter((id) => !rivals.includes(id));
  if (others.length > 0) {
    await postgres.transaction(async (connection) => {
      await unstage(connection, 'user', others);
      await restage(work, connection, moved);
    });
  }
  tally.moved += moved.length;
  return rivals.sort(compareIds);
}

async function isLeft({ mongo, postgres }: CopyScope, raw: RawDocument): Promise<boolean> {
  const behind = await postgres.transaction((connection) =>
    staysBehind(mongo.codec, connection, 'user', [raw]),
  );
  return behind.size > 0;
}

const sessionsIn =
  ({ mongo }: CopyScope): FindSession =>
  (filter, options) =>
    mongo.collection('session').findOne(filter as never, { ...options, maxTimeMS: mongo.timeoutMs } as never);

async function restage(
  { scope, run, body, tally }: Work,
  connection: Connection,
  moved: readonly Moved[],
): Promise<void> {
  const refused = await stageLines(
    connection,
    'user',
    moved.map(({ line }) => line),
  );
  for (const { place, constraint } of refused) {
    const raw = moved[place]?.raw;
    if (raw === undefined) continue;
    const flaws: readonly Flaw[] = [{ field: constraint, reason: 'refused' }];
    tally.bad += 1;
    await putFindings(connection, run, null, toFindings('user', raw.id, flaws, null));
    if (body.onBad === 'rollback' || body.dryRun) continue;
    await putAside(
      connection,
      run,
      [originalOf(scope.mongo.codec, 'user', raw, flaws)],
      scope.environment.date(),
    );
  }
}

/** Takes users out of staging: as bad, or as the policy decided. */
async function giveUp(
  { scope, run, body }: Work,
  losers: readonly string[],
  choice: Choice,
  detail: { readonly ids: readonly string[]; readonly more?: number },
): Promise<void> {
  const isDecided = choice.winner !== null;
  await scope.postgres.transaction(async (connection) => {
    await unstage(connection, 'user', losers);
    const findings = losers.flatMap((id) => toFindings('user', id, FLAWS, detail));
    if (!isDecided) await putFindings(connection, run, null, findings);
    if (body.dryRun) return;
    if (body.onBad === 'quarantine') {
      await putAllAside(scope, connection, run, 'user', losers, FLAWS);
      if (isDecided) await accept(scope, connection, { run, ids: losers, by: choice.by });
    } else if (isDecided) await noteDecisions(connection, losers, choice.by);
  });
}

async function accept(
  { environment }: CopyScope,
  connection: Connection,
  { run, ids, by }: { readonly run: string; readonly ids: readonly string[]; readonly by: string },
): Promise<void> {
  await connection.query(
    `update copy_quarantine set state = 'accepted', resolved_at = $3, resolution = $4
     where entity = 'user' and run = $1 and record_id = any($2::text[]) and state = 'held'`,
    [run, ids, environment.date(), `${BY_POLICY}${by}`],
  );
}

/** What a run that might have been rolled back has decided is done once nothing rolls it back any more. May be done again. */
export async function carryOutDecisions(scope: CopyScope, run: string): Promise<void> {
  for (let after = ''; ; ) {
    const page = await decisions(scope.postgres, { after, limit: PAGE });
    for (const by of new Set(page.map((decision) => decision.by))) {
      const ids = page.flatMap((decision) => (decision.by === by ? [decision.id] : []));
      await scope.postgres.transaction(async (connection) => {
        await putAllAside(scope, connection, run, 'user', ids, FLAWS);
        await accept(scope, connection, { run, ids, by });
      });
    }
    after = page.at(-1)?.id ?? after;
    if (page.length < PAGE) break;
  }
  await putSessionsAside(scope, run, 'decided');
}

/** Their documents as they stand now, a few at a time where they are large. */
async function putAllAside(
  { mongo, environment }: CopyScope,
  connection: Connection,
  run: string,
  entity: Entity,
  ids: readonly string[],
  reasons: readonly Flaw[],
): Promise<void> {
  let originals: Original[] = [];
  let chars = 0;
  for await (const raw of eachRaw(mongo, entity, decodeIds(ids))) {
    const original = originalOf(mongo.codec, entity, raw, reasons);
    originals.push(original);
    chars += original.document.length;
    if (chars < ASIDE_CHARS_MAX) continue;
    await putAside(connection, run, originals, environment.date());
    [originals, chars] = [[], 0];
  }
  await putAside(connection, run, originals, environment.date());
}

/** Sessions of users that were put aside go with them, or only of those that are to stay so. How many. */
export async function putSessionsAside(
  scope: CopyScope,
  run: string,
  who: 'all' | 'decided',
): Promise<number> {
  let count = 0;
  for (let after = ''; ; ) {
    const page = await sessionsOfAside(scope.postgres, who, { after, limit: PAGE });
    if (page.length === 0) return count;
    const ids = page.map(({ id }) => id);
    const reasons: readonly Flaw[] = [{ field: 'userId', reason: 'user-put-aside' }];
    const decided = page.filter(({ isHeld }) => !isHeld).map(({ id }) => id);
    await scope.postgres.transaction(async (connection) => {
      await putAllAside(scope, connection, run, 'session', ids, reasons);
      await connection.query(
        `update copy_quarantine set state = 'accepted', resolved_at = $3, resolution = $4
         where entity = 'session' and run = $1 and record_id = any($2::text[]) and state = 'held'`,
        [run, decided, scope.environment.date(), WITH_ITS_USER],
      );
      await unstage(connection, 'session', ids);
    });
    count += ids.length;
    after = ids.at(-1) ?? after;
  }
}
