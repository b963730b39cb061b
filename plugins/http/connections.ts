/**
 * How many connections clients may have. Without a free descriptor a process reaches no store, and cannot even measure its own
 * memory, which ends it.
 */
import { readFileSync } from 'node:fs';

/** Of a process that does nothing yet, with its threads. */
const RESERVED = 100;
/** Of the others; the rest is for the stores and for mails. */
const SHARE = 0.75;
const LEAST = 16;

/** `limits`: as Linux tells them of a process. Null where the system does not tell. */
export function connectionsMax(limits: string | null): number | null {
  const [, descriptors] = /^Max open files +(\d+)/m.exec(limits ?? '') ?? [];
  if (descriptors === undefined) return null;
  return Math.max(LEAST, Math.floor((Number(descriptors) - RESERVED) * SHARE));
}

export function ownLimits(): string | null {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return null;
  }
}
