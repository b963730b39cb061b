/** Which headers answers carry: the generator knows only of bodies. */

interface Header {
  readonly description: string;
  readonly schema: { readonly type: 'string' | 'integer' };
}

export interface Answers {
  readonly responses?: Record<string, { headers?: Record<string, Header> }>;
  /** Set by a route that sets or clears cookies when it succeeds. */
  'x-sets-cookies'?: boolean;
}

const text = (description: string): Header => ({ description, schema: { type: 'string' } });

const REQUEST_ID = { 'X-Request-Id': text('Names the request in the log') };
const COOKIES = { 'Set-Cookie': text('The cookies of this session, or their end') };
const SCHEME = { 'WWW-Authenticate': text('The scheme that any client may use: `Bearer`') };
const RETRY: Record<string, Header> = {
  'Retry-After': { description: 'When to ask again, seconds', schema: { type: 'integer' } },
};
const LIMITS = {
  RateLimit: text('What is left of the tightest limit, and seconds until one more attempt fits'),
  'RateLimit-Policy': text('Every limit that this attempt counts for'),
};

/** Names the headers of each answer of one operation. */
export function nameHeaders(operation: Answers): void {
  const { responses = {}, 'x-sets-cookies': setsCookies = false } = operation;
  delete operation['x-sets-cookies'];
  const isLimited = '429' in responses;
  for (const [status, response] of Object.entries(responses)) {
    response.headers = {
      ...REQUEST_ID,
      ...(setsCookies && status.startsWith('2') && COOKIES),
      ...(status === '401' && SCHEME),
      ...((status === '429' || status === '503') && RETRY),
      ...(isLimited && LIMITS),
    };
  }
}
