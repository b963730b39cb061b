import type { Environment } from '../environment.ts';
import type { Telemetry } from '../telemetry.ts';

/** The same complaint is logged no more often than this. */
const COMPLAIN_EVERY_MS = 30_000;

/** Logs what goes wrong again and again, now and then. */
export function createComplaints(
  environment: Pick<Environment, 'now'>,
  telemetry: Pick<Telemetry, 'warn'>,
): (error: unknown, what: string) => false {
  const complaints = new Map<string, number>();
  return (error, what) => {
    const nowMs = environment.now().monotonicMs;
    if (nowMs - (complaints.get(what) ?? Number.NEGATIVE_INFINITY) >= COMPLAIN_EVERY_MS) {
      complaints.set(what, nowMs);
      telemetry.warn({ err: error }, what);
    }
    return false;
  };
}
