import type { LimitVerdict } from '../../db/limits.ts';
import type { Limit } from './rules.ts';

export interface Judged {
  readonly limit: Limit;
  readonly verdict: LimitVerdict;
}

export type LimitHeaders = Readonly<Record<string, string>>;

const seconds = (ms: number) => Math.ceil(ms / 1000);

/** The limit that is hit first, or was hit hardest. */
function tightest(judged: readonly Judged[]): Judged | undefined {
  return [...judged].sort(
    (a, b) => b.verdict.retryAfterMs - a.verdict.retryAfterMs || a.verdict.remaining - b.verdict.remaining,
  )[0];
}

/**
 * RateLimit fields as draft-ietf-httpapi-ratelimit-headers has them: every policy, and the state of the tightest one.
 * `t`: seconds until one more attempt fits.
 */
export function limitHeaders(judged: readonly Judged[], allowed: boolean): LimitHeaders {
  const worst = tightest(judged);
  if (worst === undefined) return {};
  const { limit, verdict } = worst;
  const policies = judged.map(
    (j) => `"${j.limit.name}";q=${j.limit.capacity};w=${seconds(j.limit.windowMs)}`,
  );
  const untilMs = verdict.retryAfterMs || limit.windowMs / limit.capacity;
  return {
    'RateLimit-Policy': policies.join(', '),
    RateLimit: `"${limit.name}";r=${verdict.remaining};t=${seconds(untilMs)}`,
    ...(!allowed && { 'Retry-After': String(Math.max(1, seconds(verdict.retryAfterMs))) }),
  };
}
