import { StoreUnavailable } from '../../db/errors.ts';
import type { LimitHit, LimitVerdict } from '../../db/limits.ts';
import type { LimitStore } from '../../db/port.ts';
import { RATE_WINDOW_MAX_MS } from '../config/values.ts';
import type { Config } from '../config.ts';
import { type Judged, type LimitHeaders, limitHeaders } from './headers.ts';
import { type Limit, limitsFor, type RuleName, type Subjects } from './rules.ts';

/** One attempt, counted before its work begins, so that parallel attempts cannot all slip through. */
export interface LimitAttempt {
  readonly verdict: { readonly allowed: boolean; readonly retryAfterMs: number };
  /** For the answer, whatever it will be; with `Retry-After` when refused. */
  readonly headers: LimitHeaders;
  /** Not null: the account's limit is used up, and only who is known may succeed. */
  readonly past: PastLimit | null;
  /** It was no failure: it does not count. */
  refund(): Promise<void>;
  /** It proved who they are: earlier failures of this account are forgotten, it does not count, and they are known. */
  success(): Promise<void>;
}

/**
 * An attempt past the account's limit, which counts and has to cost as any other. It fails with the answer of a refused
 * one, whoever it comes from, or a stranger could tell by the difference from where an account is signed in to.
 */
export interface PastLimit {
  /** Whether this account has been signed in to from this network lately. */
  readonly known: boolean;
  /** The headers of that answer; it is counted as refused. */
  refuse(): LimitHeaders;
}

export interface Limits {
  /**
   * Counts an attempt. A refused one counts nowhere. Without its store every attempt is allowed; throws
   * `StoreUnavailable` when the store is there and has no time for it.
   */
  take<R extends RuleName>(rule: R, subjects: Subjects[R]): Promise<LimitAttempt>;
  /** Remembers that the account was signed in to from there. */
  know(subjects: Subjects['login']): Promise<void>;
}

export interface LimitsDeps {
  readonly store: LimitStore;
  readonly settings: Config['limits'];
  /** How long a network stays known, ms. */
  readonly knownForMs: number;
  /** Keyed, so that the store learns neither e-mail nor address. */
  readonly digest: (text: string) => string;
  readonly now: () => Date;
  readonly onRefused: (limit: string) => void;
  readonly onFailure: (error: unknown) => void;
}

/** A moment later the store has time again, and whoever made it busy would have been let through uncounted. */
const isBusy = (error: unknown): boolean =>
  error instanceof StoreUnavailable && ['overloaded', 'contention', 'disk-full'].includes(error.reason);

type Counted = { readonly limit: Limit; readonly key: string };
type JudgedKey = Counted & Judged;

const isRefused = ({ verdict }: Judged): boolean => !verdict.allowed;

/** What a limit says that was not hit after all, because another one refuses: nobody has to wait for it. */
function uncounted(judged: JudgedKey): JudgedKey {
  const { verdict } = judged;
  return verdict.allowed ? { ...judged, verdict: { ...verdict, retryAfterMs: 0 } } : judged;
}

export function createLimits(deps: LimitsDeps): Limits {
  const { store, settings, knownForMs, digest, now, onRefused, onFailure } = deps;

  /** What is not taken back counts on: that is no reason to fail. */
  const attempt = (work: () => Promise<unknown>): Promise<void> => work().then(() => {}, onFailure);

  async function count(hits: readonly LimitHit[]): Promise<readonly LimitVerdict[]> {
    if (hits.length === 0) return [];
    try {
      return await store.hit(hits, now());
    } catch (error) {
      onFailure(error);
      if (isBusy(error)) throw error;
      return [];
    }
  }

  async function judge(counted: readonly Counted[]): Promise<readonly JudgedKey[]> {
    const verdicts = await count(
      counted.map(({ key, limit: { capacity, windowMs, backoff } }) => ({
        key,
        capacity,
        windowMs,
        backoff,
      })),
    );
    return counted.flatMap((each, index) => {
      const verdict = verdicts[index];
      return verdict === undefined ? [] : [{ ...each, verdict }];
    });
  }

  /** Full while the network is known. Dated ahead, so that it begins to drain, and to be old, when that is over. */
  const knownHit = (knownBy: string): [[LimitHit], Date] => [
    [{ key: digest(`login-known ${knownBy}`), capacity: 1, windowMs: RATE_WINDOW_MAX_MS, backoff: null }],
    new Date(now().getTime() + knownForMs),
  ];

  async function remember(limits: readonly Limit[]): Promise<void> {
    for (const { knownBy } of limits) {
      if (knownBy !== undefined) await attempt(() => store.hit(...knownHit(knownBy)));
    }
  }

  async function isKnown(knownBy: string): Promise<boolean> {
    const [hits] = knownHit(knownBy);
    const [verdict] = await store.peek(hits, now()).catch((error) => {
      onFailure(error);
      return [];
    });
    return verdict?.allowed === false;
  }

  return {
    async take(rule, subjects) {
      const counted = limitsFor(rule, subjects, settings).map((limit) => ({
        limit,
        key: digest(`${limit.name} ${limit.subject}`),
      }));
      const first = await judge(counted);
      const [refusal, ...others] = first.filter(isRefused);
      const full = others.length === 0 && refusal?.limit.knownBy !== undefined ? refusal : null;
      // Nothing was counted yet. Uncounted, whoever polls would be there first whenever the account lets one through.
      const rest = full && (await judge(counted.filter(({ limit }) => limit !== full.limit)));
      const judged = first.map((each) => rest?.find(({ key }) => key === each.key) ?? each);
      const refused = (rest ?? judged).filter(isRefused);
      const allowed = refused.length === 0;
      for (const { limit } of refused) onRefused(limit.name);

      const keysOf = (some: readonly Counted[]) => some.map(({ key }) => key);
      const refund = async (some: readonly Counted[]) => {
        if (some.length > 0) await attempt(() => store.refund(keysOf(some)));
      };
      const counts = allowed ? (rest ?? judged) : [];
      const takeBack = async () => {
        const cleared = counts.filter(({ limit }) => limit.onSuccess === 'clear');
        if (cleared.length > 0) await attempt(() => store.clear(keysOf(cleared)));
        await refund(counts.filter(({ limit }) => limit.onSuccess === 'refund'));
      };
      const past = async (limit: Limit): Promise<PastLimit> => ({
        known: await isKnown(limit.knownBy ?? ''),
        refuse() {
          onRefused(limit.name);
          return limitHeaders(judged, false);
        },
      });
      return {
        verdict: {
          allowed,
          retryAfterMs: allowed ? 0 : Math.max(...refused.map(({ verdict }) => verdict.retryAfterMs)),
        },
        headers: limitHeaders(allowed ? judged : judged.map(uncounted), allowed),
        past: full && allowed ? await past(full.limit) : null,
        refund: () => refund(counts),
        async success() {
          await Promise.all([takeBack(), remember(judged.map(({ limit }) => limit))]);
        },
      };
    },
    know: (subjects) => remember(limitsFor('login', subjects, settings)),
  };
}
