/**
 * Users that share an e-mail. Some only seem to: one gave the address up and another took it while the copy read, so
 * their documents are read once more. What is left is bad, unless a policy says who keeps the address.
 */
import { decodeId } from '../../db/ids.ts';
import { toExtendedJson } from '../../db/mongo/copy/client.ts';
import type { RawDocument } from '../../db/mongo/copy/raw-document.ts';
import { readRaw } from '../../db/mongo/copy/scan.ts';
import { type SharedEmail, sessionsOfAside, sharedEmails, unstage } from '../../db/postgres/copy/checks.ts';
import {
  BY_POLICY,
  leftBehind,
  type Original,
  putAside,
  putFindings,
  WITH_ITS_USER,
} from '../../db/postgres/copy/findings.ts';
import { toLine } from '../../db/postgres/copy/rows.ts';
import { stageLines } from '../../db/postgres/copy/staging.ts';
import type { UserRecord } from '../../db/records.ts';
import { classify, createCounts, type Flaw } from './classify.ts';
import type { Choice, DuplicatePolicy } from './policy.ts';
import { chooseAmong } from './rivals.ts';
import type { RunBody } from './run.ts';
import { toFindings } from './stage.ts';
import type { CopyScope } from './types.ts';

const PAGE = 200;
/** Of the range that restaged rows belong to: none. */
const NO_RANGE = 0;

interface Candidate {
  readonly raw: RawDocument;
  readonly user: UserRecord;
  readonly isMarked: boolean;
}

/** How many users were found bad, and how many lost their address to another by the policy. */
export async function settleDuplicates(
  scope: CopyScope,
  run: string,
  body: RunBody,
): Promise<{ readonly bad: number; readonly passedOver: number }> {
  let after = '';
  let bad = 0;
  let passedOver = 0;
  for (;;) {
    const page = await sharedEmails(scope.postgres, { after, limit: PAGE });
    for (const shared of page) {
      const { losers, isDecided } = await settle(scope, run, body, shared);
      if (isDecided) passedOver += losers;
      else bad += losers;
    }
    after = page.at(-1)?.emailKey ?? after;
    if (page.length < PAGE) return { bad, passedOver };
  }
}

interface Settled {
  readonly losers: number;
  /** The policy said who keeps the address. */
  readonly isDecided: boolean;
}

async function settle(scope: CopyScope, run: string, body: RunBody, shared: SharedEmail): Promise<Settled> {
  const candidates = await readAgain(scope, shared);
  const behind = await scope.postgres.transaction((connection) =>
    leftBehind(connection, candidates.map(originalOf)),
  );
  const rivals = candidates.filter(({ user }) => user.emailKey === shared.emailKey && !behind.has(user.id));
  const choice = rivals.length < 2 ? NOBODY : await choiceOf(scope, rivals, body.duplicates);
  const winner = rivals.find(({ user }) => user.id === choice.winner);
  const isDecided = winner !== undefined;
  const losers = rivals.length < 2 ? [] : rivals.filter((rival) => rival !== winner);
  const staying = candidates.filter(
    (candidate) => !losers.includes(candidate) && !behind.has(candidate.user.id),
  );
  await scope.postgres.transaction(async (connection) => {
    await connection.query('delete from staging.users where id = any($1::text[])', [[...shared.ids]]);
    await stageLines(
      connection,
      'user',
      staying.map(({ user, isMarked }) => toLine('user', user, { range: NO_RANGE, isMarked })),
    );
    if (losers.length === 0) return;
    const ids = losers.concat(winner === undefined ? [] : [winner]).map(({ user }) => user.id);
    const detail = namesOf([...ids].sort());
    const findings = losers.flatMap(({ user }) => toFindings('user', user.id, FLAWS, detail));
    if (!isDecided) await putFindings(connection, run, null, findings);
    if (body.dryRun || (body.onBad === 'rollback' && !isDecided)) return;
    await putAside(connection, run, losers.map(originalOf), scope.environment.date());
    if (isDecided) {
      await connection.query(
        `update copy_quarantine set state = 'accepted', resolved_at = $3, resolution = $4
         where entity = 'user' and run = $1 and record_id = any($2::text[]) and state = 'held'`,
        [run, losers.map(({ user }) => user.id), scope.environment.date(), `${BY_POLICY}${choice.by}`],
      );
    }
  });
  return { losers: losers.length, isDecided };
}

/** Of an address that thousands share not each is named with each other. */
const IDS_MAX = 100;
function namesOf(ids: readonly string[]): { readonly ids: readonly string[]; readonly more?: number } {
  return ids.length <= IDS_MAX ? { ids } : { ids: ids.slice(0, IDS_MAX), more: ids.length - IDS_MAX };
}

const FLAWS: readonly Flaw[] = [{ field: 'email', reason: 'duplicate-email' }];
const originalOf = ({ raw, user }: Candidate): Original => {
  return { entity: 'user', id: user.id, reasons: FLAWS, document: toExtendedJson(raw.bytes) };
};

/** The users as they stand now; who is gone or cannot be read any more is left to the mirror. */
async function readAgain({ mongo }: CopyScope, { ids }: SharedEmail): Promise<readonly Candidate[]> {
  const raws = await readRaw(mongo, 'user', ids.map(decodeId));
  const candidates = raws.flatMap((raw): Candidate[] => {
    const result = classify(mongo.codec, 'user', raw, new Date(0), createCounts());
    return result.kind === 'good' ? [{ raw, user: result.record, isMarked: result.isMarked }] : [];
  });
  return candidates.sort((a, b) => (a.user.id < b.user.id ? -1 : 1));
}

const NOBODY: Choice = { winner: null, by: 'no policy' };

async function choiceOf(
  { mongo }: CopyScope,
  rivals: readonly Candidate[],
  policy: DuplicatePolicy | null,
): Promise<Choice> {
  if (policy === null) return NOBODY;
  const contenders = rivals.map(({ raw, user }) => ({ doc: raw.doc ?? {}, user }));
  const sessions = mongo.collection('session');
  return chooseAmong(policy, contenders, mongo.codec, (filter, options) =>
    sessions.findOne(filter as never, { ...options, maxTimeMS: mongo.timeoutMs } as never),
  );
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
    const raws = await readRaw(scope.mongo, 'session', ids.map(decodeId));
    const reasons: readonly Flaw[] = [{ field: 'userId', reason: 'user-put-aside' }];
    const originals = raws.map(({ id, bytes }): Original => {
      return { entity: 'session', id, reasons, document: toExtendedJson(bytes) };
    });
    const decided = page.filter(({ isHeld }) => !isHeld).map(({ id }) => id);
    const now = scope.environment.date();
    await scope.postgres.transaction(async (connection) => {
      await putAside(connection, run, originals, now);
      await connection.query(
        `update copy_quarantine set state = 'accepted', resolved_at = $3, resolution = $4
         where entity = 'session' and run = $1 and record_id = any($2::text[]) and state = 'held'`,
        [run, decided, now, WITH_ITS_USER],
      );
    });
    await unstage(scope.postgres, 'session', ids);
    count += ids.length;
    after = ids.at(-1) ?? after;
  }
}
