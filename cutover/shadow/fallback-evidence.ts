/**
 * Reads that PostgreSQL failed while it was the authority, as notes by hour and instance (`NOTES.fallback`): the gate to
 * `postgres-only` asks for a time without any. The store that has just failed must take them, so they are tried again until
 * it does.
 */
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { authorityOf } from '../mode.ts';
import { NOTES } from '../notes.ts';
import type { PerStore } from '../protocol/types.ts';
import { within } from './within.ts';

const HOUR_MS = 3_600_000;
const TIMEOUT_MS = 1_000;
const RETRY_MS = 2_000;
/** Hours kept back at most. */
const HOURS_MAX = 48;

type Counts = Record<'answered' | 'refused' | 'failed', number>;

export interface FallbackEvidence {
  note(outcome: keyof Counts): void;
  /** Resolves once everything noted is in the books, or was given up on. */
  idle(): Promise<void>;
  /** Gives up on what is still due. */
  stop(): void;
}

export function createFallbackEvidence(options: {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly member: Member;
}): FallbackEvidence {
  const { stores, environment, member } = options;
  const hours = new Map<string, Counts>();
  const due = new Set<string>();
  const ended = new AbortController();
  let writing: Promise<void> | null = null;

  async function put(hour: string): Promise<void> {
    const { books } = stores.postgres ?? {};
    const counts = hours.get(hour);
    if (books === undefined || counts === undefined) return;
    const count = counts.answered + counts.refused + counts.failed;
    const body = { count, ...counts };
    await within(environment, TIMEOUT_MS, () =>
      books.putNote(NOTES.fallback, `${hour}/${member.id}`, body, environment.date()),
    );
  }

  async function write(): Promise<void> {
    while (due.size > 0 && !ended.signal.aborted) {
      // Once authority has moved, it disturbs no soak any more.
      const mode = member.mode();
      if (mode !== null && authorityOf(mode) !== 'postgres') return due.clear();
      const [hour = ''] = due;
      due.delete(hour);
      try {
        await put(hour);
      } catch {
        due.add(hour);
        await environment.sleep(RETRY_MS, ended.signal);
      }
    }
  }

  return {
    note(outcome) {
      const nowMs = environment.date().getTime();
      const hour = new Date(nowMs - (nowMs % HOUR_MS)).toISOString();
      const counts = hours.get(hour) ?? { answered: 0, refused: 0, failed: 0 };
      counts[outcome] += 1;
      hours.set(hour, counts);
      due.add(hour);
      const [oldest] = hours.keys();
      if (hours.size > HOURS_MAX && oldest !== undefined) hours.delete(oldest);
      writing ??= write().finally(() => {
        writing = null;
      });
    },
    idle: async () => {
      await writing;
    },
    stop: () => ended.abort(),
  };
}
