/** The trail of authentication events: who did what, and what came of it. */
import type { FastifyBaseLogger } from 'fastify';

/** One thing that happened to an account or a session. */
export interface AuditEvent {
  /** Such as `login`, `refresh`, `reset-asked`: a fixed word, it becomes a metric label. */
  readonly event: string;
  /** `ignored`: answered like a success, but nothing was there to be done; `unknown`: it may have been done, see `db/errors.ts`. */
  readonly outcome: 'success' | 'failure' | 'ignored' | 'unknown';
  /** A class of reasons, never a text of the client's: a fixed word, it becomes a metric label. */
  readonly reason?: string | undefined;
  readonly userId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** Notes one event as one line. */
export type Audit = (event: AuditEvent) => void;

/** Levels at which a logger would swallow the trail. `silent` does, as it says. */
const ABOVE_INFO: ReadonlySet<string> = new Set(['warn', 'error', 'fatal']);

/** The trail of one request, written whatever the level of the log. `digest` is keyed: the same address can be recognised, but not read. */
export function createAudit(
  log: Pick<FastifyBaseLogger, 'info' | 'level' | 'child'>,
  digest: (address: string) => string,
  address: string,
  onEvent?: (event: AuditEvent) => void,
): Audit {
  const trail = ABOVE_INFO.has(log.level) ? log.child({}, { level: 'info' }) : log;
  return (event) => {
    const { event: name, outcome, reason, userId, sessionId } = event;
    trail.info(
      { audit: { event: name, outcome, reason, userId, sessionId, addressDigest: digest(address) } },
      `audit: ${name} ${outcome}`,
    );
    onEvent?.(event);
  };
}
