/** Judges each answer by those that were given before it was asked for: invariants 1 to 5 of cutover/README.md, "What it promises". */
import type { Repository } from '../../../../db/port.ts';
import type { SessionRecord, UserRecord } from '../../../../db/records.ts';
import type { Entry } from '../history.ts';
import type { Attempts } from './attempts.ts';
import { below, type Floors, type Levels } from './floors.ts';
import { levelsOfSession, levelsOfUser } from './levels.ts';

type Arg<K extends keyof Repository> = Parameters<Repository[K]>[0];
type Answer<K extends keyof Repository> = Awaited<ReturnType<Repository[K]>>;

export type Report = (rule: string, entry: Entry | null, what: string) => void;

export interface Ledger {
  readonly floors: Floors;
  readonly attempts: Attempts;
  /** Content by where it belongs, such as the password of one generation: the same place never holds two. */
  readonly contents: Map<string, string>;
  /** What may happen only once, and to whom it did. */
  readonly done: Map<string, Entry>;
  /** The living account of an e-mail, as far as it was acknowledged. */
  readonly owners: Map<string, { readonly id: string; readonly tick: number }>;
  /** The user of each session that was ever asked for. */
  readonly holders: Map<string, string>;
  readonly report: Report;
}

const user = (id: string) => `user ${id}`;
const session = (id: string) => `session ${id}`;
const token = (id: string) => `token ${id}`;

/** What each call may do to which record, to be known before anything is judged. */
export function noteAttempts({ attempts, holders }: Pick<Ledger, 'attempts' | 'holders'>, entry: Entry) {
  const add = (what: string) => attempts.add(what, entry);
  switch (entry.name) {
    case 'createAccount': {
      const account = entry.args[0] as Arg<'createAccount'>;
      holders.set(account.session.id, account.user.id);
      return add(`signup ${account.user.emailKey}`);
    }
    case 'changePassword': {
      const { userId } = entry.args[0] as Arg<'changePassword'>;
      add(`sessions of ${userId}`);
      add(`resets of ${userId}`);
      return;
    }
    case 'consumeReset': {
      const { userId } = entry.args[0] as Arg<'consumeReset'>;
      add(`sessions of ${userId}`);
      add(`resets of ${userId}`);
      return;
    }
    case 'requestReset':
      return add(`resets of ${(entry.args[0] as Arg<'requestReset'>).token.userId}`);
    case 'endSessions': {
      const { userId } = entry.args[0] as Arg<'endSessions'>;
      add(`sessions of ${userId}`);
      add(`resets of ${userId}`);
      return;
    }
    case 'eraseUser': {
      const { userId } = entry.args[0] as Arg<'eraseUser'>;
      add(`sessions of ${userId}`);
      add(`erasure of ${userId}`);
      return;
    }
    case 'verifyEmail':
      return add(`verification of ${(entry.args[0] as Arg<'verifyEmail'>).userId}`);
    case 'rotateSession':
      return add(`rotation of ${(entry.args[0] as Arg<'rotateSession'>).sessionId}`);
    case 'revokeSession':
      return add(`revocation of ${(entry.args[0] as Arg<'revokeSession'>).sessionId}`);
    case 'openSession': {
      const { session: opened, replacesId } = entry.args[0] as Arg<'openSession'>;
      if (replacesId !== null) add(`revocation of ${replacesId}`);
      holders.set(opened.id, opened.userId);
      // The oldest of too many are revoked, too.
      return add(`login of ${opened.userId}`);
    }
    default:
  }
}

/** To be called for answered calls in the order of their answers. */
export function judgeAnswer(ledger: Ledger, entry: Entry) {
  const { floors, attempts, contents, done, owners, report } = ledger;
  const floor = (record: string): Levels => floors.before(record, entry.startTick);

  function see(record: string, levels: Levels, rule = 'lost'): void {
    for (const problem of below(floor(record), levels)) report(rule, entry, `${record}: ${problem}`);
    floors.raise(record, levels, entry.endTick);
  }
  /** A write that was answered: above what was known before it, by so much. */
  function lift(record: string, by: Levels): void {
    const before = floor(record);
    const lifted = Object.entries(by).map(([level, more]) => [level, (before[level] ?? 0) + more]);
    floors.raise(record, { exists: 1, ...Object.fromEntries(lifted) }, entry.endTick);
  }
  function hold(place: string, content: string): void {
    const held = contents.get(place);
    if (held !== undefined && held !== content)
      report('two contents', entry, `${place}: ${held} and ${content}`);
    contents.set(place, content);
  }
  function once(what: string): void {
    const first = done.get(what);
    if (first !== undefined) report('twice', entry, `${what}, first answered to call ${first.order}`);
    done.set(what, entry);
  }
  function explained(by: readonly string[], what: string): void {
    if (!by.some((cause) => attempts.mayExplain(cause, entry))) report('unexplained', entry, what);
  }

  function seeUser(id: string, found: UserRecord | null): void {
    see(user(id), levelsOfUser(found));
    if (found?.passwordHash)
      hold(`password of ${id} in generation ${found.sessionGeneration}`, found.passwordHash);
  }
  function seeSession(id: string, found: SessionRecord | null): void {
    see(session(id), levelsOfSession(found));
    if (found !== null) hold(`token of session ${id} at rotation ${found.rotation}`, found.tokenHash);
  }
  function goneMustBeExplained(userId: string) {
    if (floor(user(userId))['exists'] === 1) explained([`erasure of ${userId}`], `${userId} is gone`);
  }

  if (entry.outcome === 'refused') {
    if (entry.value === 'IdTaken') return report('twice', entry, 'its id is taken: it was run before');
    const { emailKey } = (entry.args[0] as Arg<'createAccount'>).user;
    return explained([`signup ${emailKey}`], `${emailKey} is taken by nobody`);
  }

  switch (entry.name) {
    case 'createAccount': {
      const account = entry.args[0] as Arg<'createAccount'>;
      const key = account.user.emailKey ?? '';
      const owner = owners.get(key);
      if (owner !== undefined && !attempts.mayExplain(`erasure of ${owner.id}`, entry)) {
        report('e-mail twice', entry, `${key} belongs to ${owner.id}`);
      }
      owners.set(key, { id: account.user.id, tick: entry.endTick });
      floors.raise(user(account.user.id), levelsOfUser(account.user), entry.endTick);
      floors.raise(session(account.session.id), levelsOfSession(account.session), entry.endTick);
      floors.raise(token(account.token.id), { exists: 1 }, entry.endTick);
      return;
    }
    case 'findUser':
      return seeUser(entry.args[0] as string, entry.value as UserRecord | null);
    case 'findUserByEmail': {
      const found = entry.value as UserRecord | null;
      if (found !== null) return seeUser(found.id, found);
      const owner = owners.get(entry.args[0] as string);
      if (owner !== undefined && owner.tick < entry.startTick) {
        explained([`erasure of ${owner.id}`], `nobody has ${entry.args[0]}, yet ${owner.id} signed up`);
      }
      return;
    }
    case 'findVerificationToken':
    case 'findResetToken': {
      const found = entry.value as Answer<'findResetToken'>;
      if (found !== null) {
        see(token(found.token.id), { exists: 1 });
        seeUser(found.token.userId, found.user);
      }
      return;
    }
    case 'findSession': {
      const found = entry.value as Answer<'findSession'>;
      seeSession(entry.args[0] as string, found?.session ?? null);
      if (found !== null) seeUser(found.session.userId, found.user);
      return;
    }
    case 'listSessions':
      for (const found of entry.value as Answer<'listSessions'>) seeSession(found.id, found);
      return;
    case 'openSession': {
      const { session: opened, replacesId } = entry.args[0] as Arg<'openSession'>;
      floors.raise(session(opened.id), levelsOfSession(opened), entry.endTick);
      if (!(entry.value as Answer<'openSession'>).isLive) return;
      if (replacesId !== null && floor(session(replacesId))['exists'] === 1) {
        floors.raise(session(replacesId), { revoked: 1 }, entry.endTick);
      }
      return;
    }
    case 'rotateSession': {
      const { sessionId, fromHash } = entry.args[0] as Arg<'rotateSession'>;
      const rotated = entry.value as SessionRecord | null;
      if (rotated === null) {
        if (floor(session(sessionId))['exists'] !== 1) return;
        const causes = [`rotation of ${sessionId}`, `revocation of ${sessionId}`];
        return explained([...causes, ...lapses(ledger, sessionId)], `${sessionId} did not rotate`);
      }
      if (floor(session(sessionId))['revoked'] === 1)
        report('revived', entry, `${sessionId} rotated after its end`);
      once(`rotation of ${sessionId} from ${fromHash}`);
      return seeSession(sessionId, rotated);
    }
    case 'revokeSession': {
      const { sessionId } = entry.args[0] as Arg<'revokeSession'>;
      if (entry.value === true) {
        once(`revocation of ${sessionId}`);
        floors.raise(session(sessionId), { exists: 1, revoked: 1 }, entry.endTick);
      } else if (floor(session(sessionId))['exists'] === 1) {
        explained(
          [`revocation of ${sessionId}`, ...lapses(ledger, sessionId)],
          `${sessionId} was not revoked`,
        );
      }
      return;
    }
    case 'changePassword': {
      const { userId, sessionGeneration, newHash } = entry.args[0] as Arg<'changePassword'>;
      if (entry.value === 'gone') return goneMustBeExplained(userId);
      if (entry.value === 'changed') return explained([`sessions of ${userId}`], `${userId} was not changed`);
      if ((floor(user(userId))['sessionGeneration'] ?? 0) > sessionGeneration) {
        report('overwritten', entry, `${userId} was past generation ${sessionGeneration}`);
      }
      once(`change of ${userId} from generation ${sessionGeneration}`);
      hold(`password of ${userId} in generation ${sessionGeneration + 1}`, newHash);
      return lift(user(userId), { sessionGeneration: 1, resetGeneration: 1 });
    }
    case 'consumeReset': {
      const { userId, generation } = entry.args[0] as Arg<'consumeReset'>;
      if (entry.value === 'gone') return goneMustBeExplained(userId);
      if (entry.value === 'used')
        return explained([`resets of ${userId}`], `generation ${generation} was unused`);
      if ((floor(user(userId))['resetGeneration'] ?? 0) > generation) {
        report('overwritten', entry, `${userId} was past reset generation ${generation}`);
      }
      once(`reset of ${userId} in generation ${generation}`);
      return lift(user(userId), { sessionGeneration: 1, resetGeneration: 1 });
    }
    case 'requestReset': {
      const { token: asked } = entry.args[0] as Arg<'requestReset'>;
      if (entry.value === 'gone') return goneMustBeExplained(asked.userId);
      floors.raise(token(asked.id), { exists: 1 }, entry.endTick);
      return lift(user(asked.userId), { resetGeneration: 1 });
    }
    case 'verifyEmail': {
      const { userId } = entry.args[0] as Arg<'verifyEmail'>;
      if (entry.value === 'gone') return goneMustBeExplained(userId);
      if (entry.value === 'used') {
        explained([`verification of ${userId}`], `${userId} was not verified`);
        return see(user(userId), { ...floor(user(userId)), exists: 1, verified: 1 });
      }
      once(`verification of ${userId}`);
      return floors.raise(user(userId), { exists: 1, verified: 1 }, entry.endTick);
    }
    case 'endSessions': {
      const { userId } = entry.args[0] as Arg<'endSessions'>;
      if (entry.value === 'gone') return goneMustBeExplained(userId);
      return lift(user(userId), { sessionGeneration: 1, resetGeneration: 1 });
    }
    case 'eraseUser': {
      const { userId } = entry.args[0] as Arg<'eraseUser'>;
      if (entry.value === 'gone') return goneMustBeExplained(userId);
      once(`erasure of ${userId}`);
      lift(user(userId), { sessionGeneration: 1 });
      return floors.raise(user(userId), { erased: 1 }, entry.endTick);
    }
    default:
  }
}

/** What else may have ended a session that nobody logged out of: a login past the limit, or the user's erasure. */
function lapses({ holders }: Ledger, sessionId: string): readonly string[] {
  const userId = holders.get(sessionId);
  return userId === undefined ? [] : [`login of ${userId}`, `erasure of ${userId}`];
}
