import { z } from 'zod';
import { ERRORS, type ErrorCode, type Issue } from './errors.ts';

/** RFC 9457 problem details, the body of every answer that is not a success. */
const problemSchema = z
  .object({
    type: z.string().describe('A URI for the kind of problem, one for each code'),
    title: z.string(),
    status: z.number().int().min(400).max(599),
    code: z.string().describe('Stable; see docs/errors.md'),
    requestId: z.string().describe('Find the cause in the log under this id'),
    issues: z
      .array(z.object({ path: z.array(z.string()), message: z.string(), code: z.string() }))
      .optional()
      .describe('What is wrong with the request, by path'),
  })
  .meta({ id: 'Problem' });

export type Problem = z.infer<typeof problemSchema>;

export const PROBLEM_TYPE = 'application/problem+json';

/** The body for one error code. */
export function problem(code: ErrorCode, requestId: string, issues?: readonly Issue[]): Problem {
  const { status, title } = ERRORS[code];
  return {
    type: `urn:problem:auth:${code}`,
    title,
    status,
    code,
    requestId,
    ...(issues && { issues: issues.map((issue) => ({ ...issue, path: [...issue.path] })) }),
  };
}

/** What any route may answer, besides its own. */
const ALWAYS: readonly ErrorCode[] = [
  'bad_request',
  'validation_failed',
  'internal',
  'store_unavailable',
  'overloaded',
];

/** What only a route that reads a body may answer. */
const OF_BODIES: readonly ErrorCode[] = ['malformed_body', 'body_too_large', 'unsupported_media_type'];

/** Response schemas for the given codes and for what any route with a body may answer, grouped by status. */
export const problems = (...codes: ErrorCode[]) => problemsWithoutBody(...codes, ...OF_BODIES);

/** The same for a route that reads no body. */
export function problemsWithoutBody(...codes: ErrorCode[]) {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...codes, ...ALWAYS])) {
    const status = ERRORS[code].status;
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, list]) => [
      status,
      {
        description: list.map((code) => `\`${code}\`: ${ERRORS[code].when}`).join('\n\n'),
        content: { [PROBLEM_TYPE]: { schema: problemSchema } },
      },
    ]),
  );
}
