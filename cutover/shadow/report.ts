/** Tells of a mismatch: counts by field, a note with keyed digests, now and then a log line. Never a value. */
import type { Entity } from '../../db/records.ts';
import type { Environment } from '../environment.ts';
import type { ReadOperation } from '../router.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Differences } from './differences.ts';
import type { Digest } from './digest.ts';
import type { Finding } from './look.ts';
import { createRate } from './rate.ts';
import type { RecordName } from './records.ts';
import { isHeld, type Seen } from './verdict.ts';

export interface ReportOptions {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly digest: Digest;
  readonly differences: Differences;
}

export interface Report {
  records(finding: Finding): void;
  /** The same records, found by one store and not by the other. The texts name the states that each answer held. */
  answers(subject: RecordName, operation: ReadOperation, authority: string, other: string): void;
}

/** Where everything differs, one cause is behind it. */
const LINES_PER_S = 0.2;

export function createReport({ environment, telemetry, digest, differences }: ReportOptions): Report {
  const lines = createRate(environment);

  function tell(entity: Entity, outcome: string, fields: readonly string[]): void {
    for (const field of fields) telemetry.count('cutover_shadow_differences_total', { entity, field });
    if (lines.take(LINES_PER_S)) telemetry.warn({ entity, outcome, fields }, 'the stores differ');
  }

  function digestOf(entity: Entity, field: string, seen: Seen): string | null {
    if (!isHeld(seen)) return null;
    if (field === 'record' || field === 'document') return digest(entity, field, 'there');
    const value = new Map<string, unknown>(Object.entries(seen.record)).get(field);
    return digest(entity, field, field === 'stamp' ? JSON.stringify(value) : value);
  }

  return {
    records({ entity, id, verdict, authority, other }) {
      tell(entity, verdict.kind, verdict.fields);
      differences.found(`${entity}/${id}`, {
        entity,
        id,
        fields: verdict.fields.map((field) => ({
          field,
          authority: digestOf(entity, field, authority),
          other: digestOf(entity, field, other),
        })),
        outcome: verdict.kind,
        stamps: { authority: stampOf(authority), other: stampOf(other) },
        foundAtMs: environment.date().getTime(),
      });
    },
    answers({ entity, id }, operation, authority, other) {
      tell(entity, 'mismatch', ['answer']);
      const field = 'answer';
      const digests = { authority: digest(entity, field, authority), other: digest(entity, field, other) };
      differences.found(`${entity}/${id}/${operation}`, {
        entity,
        id,
        fields: [{ field, ...digests }],
        outcome: 'mismatch',
        stamps: { authority: null, other: null },
        foundAtMs: environment.date().getTime(),
      });
    },
  };
}

const stampOf = (seen: Seen) => (isHeld(seen) ? seen.record.stamp : null);
