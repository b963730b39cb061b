/** The verdict on one run. */
import type { MemoryStore } from '../../../support/memory/store.ts';
import type { Entry } from '../history.ts';
import { judgeAnswer, type Ledger, noteAttempts } from './answers.ts';
import { createAttempts } from './attempts.ts';
import type { Epochs } from './authority.ts';
import { createFloors } from './floors.ts';
import { judgeAuthority, judgeConvergence, judgeEmails } from './rest.ts';

export interface Violation {
  /** A fixed word for the kind of it. */
  readonly rule: string;
  readonly what: string;
  /** The call it was seen in; null when it was seen at rest. */
  readonly entry: Entry | null;
}

export interface Run {
  readonly entries: readonly Entry[];
  readonly epochs: Epochs;
  readonly authority: MemoryStore;
  readonly other: MemoryStore;
  /** Whether the other store must hold the same. */
  readonly mirrored: boolean;
  /** Retention: what expired before this may be gone. */
  readonly expiredBefore: Date;
}

export function judge(run: Run): readonly Violation[] {
  const { entries, epochs, authority, other, mirrored, expiredBefore } = run;
  const violations: Violation[] = [];
  const ledger: Ledger = {
    floors: createFloors(),
    attempts: createAttempts(),
    contents: new Map(),
    done: new Map(),
    owners: new Map(),
    holders: new Map(),
    report: (rule, entry, what) => void violations.push({ rule, entry, what }),
  };
  for (const entry of entries) noteAttempts(ledger, entry);
  const answered = entries.filter(({ outcome }) => outcome === 'ok' || outcome === 'refused');
  for (const entry of answered.sort((a, b) => a.endTick - b.endTick)) judgeAnswer(ledger, entry);
  epochs.judge(entries, ledger.report);
  judgeAuthority(ledger, entries, authority);
  judgeEmails(ledger, authority);
  if (mirrored) {
    judgeConvergence(ledger, [authority, other], expiredBefore);
    judgeEmails(ledger, other);
  }
  return violations;
}
