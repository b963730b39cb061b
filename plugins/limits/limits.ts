import { StoreUnavailable } from '../../db/errors.ts';
import type { LimitHit, LimitVerdict } from '../../db/limits.ts';
import type { LimitStore } from '../../db/port.ts';
import type { Config } from '../config.ts';
import { type Judged, type LimitHeaders, limitHeaders } from './headers.ts';
import { limitsFor, type RuleName, type Subjects } from './rules.ts';

/** One attempt, counted before its work begins, so that parallel attempts cannot all slip through. */
export interface LimitAttempt {
  readonly verdict: { readonly allowed: boolean; readonly retryAfterMs: number };
  /** For the answer, whatever it will be; with `Retry-After` when refused. */
  readonly headers: LimitHeaders;
  /** It was no failure: it does not count. */
  refund(): Promise<void>;
  /** It proved who they are: earlier failures of this account are forgotten, and it does not count. */
  success(): Promise<void>;
}

export interface Limits {
  /**
   * Counts an attempt. A refused one counts nowhere. Without its store every attempt is allowed; throws
   * `StoreUnavailable` when the store is there and has no time for it.
   */
  take<R extends RuleName>(rule: R, subjects: Subjects[R]): Promise<LimitAttempt>;
}

export interface LimitsDeps {
  readonly store: LimitStore;
  readonly settings: Config['limits'];
  /** Keyed, so that the store learns neither e-mail nor address. */
  readonly digest: (text: string) => string;
  readonly now: () => Date;
  readonly onRefused: (limit: string) => void;
  readonly onFailure: (error: unknown) => void;
}

/** A moment later the store has time again, and whoever made it busy would have been let through uncounted. */
const isBusy = (error: unknown): boolean =>
  error instanceof StoreUnavailable && (error.reason === 'overloaded' || error.reason === 'contention');

export function createLimits(deps: LimitsDeps): Limits {
  const { store, settings, digest, now, onRefused, onFailure } = deps;

  /** What is not taken back counts on: that is no reason to fail. */
  const attempt = (work: () => Promise<void>): Promise<void> => work().catch(onFailure);

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

  return {
    async take(rule, subjects) {
      const counted = limitsFor(rule, subjects, settings).map((limit) => ({
        limit,
        key: digest(`${limit.name} ${limit.subject}`),
      }));
      const hits = counted.map(({ key, limit: { capacity, windowMs, backoff } }) => ({
        key,
        capacity,
        windowMs,
        backoff,
      }));
      const verdicts = await count(hits);
      const judged = counted.flatMap(({ limit, key }, index): (Judged & { key: string })[] => {
        const verdict = verdicts[index];
        return verdict === undefined ? [] : [{ limit, key, verdict }];
      });
      const refused = judged.filter(({ verdict }) => !verdict.allowed);
      const allowed = refused.length === 0;
      for (const { limit } of refused) onRefused(limit.name);

      const keysOf = (some: typeof judged) => some.map(({ key }) => key);
      const refund = async (some: typeof judged) => {
        if (some.length > 0) await attempt(() => store.refund(keysOf(some)));
      };
      const counts = allowed ? judged : [];
      return {
        verdict: {
          allowed,
          retryAfterMs: allowed ? 0 : Math.max(...refused.map(({ verdict }) => verdict.retryAfterMs)),
        },
        headers: limitHeaders(judged, allowed),
        refund: () => refund(counts),
        async success() {
          const cleared = counts.filter(({ limit }) => limit.onSuccess === 'clear');
          if (cleared.length > 0) await attempt(() => store.clear(keysOf(cleared)));
          await refund(counts.filter(({ limit }) => limit.onSuccess === 'refund'));
        },
      };
    },
  };
}
