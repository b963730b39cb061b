/** Whether a run held, from everything it saw. */
import { check, type Tallies, tally } from './checker/checker.ts';
import type { Windows } from './faults/windows.ts';
import { CAUGHT, type Caught, CLIENT_KINDS, type Operation, type Outcome } from './history/types.ts';

/** Of outcomes outside fault windows that are unknown, or of requests that were turned away. */
const UNSERVED_SHARE_MAX = 0.05;
/** How many states of one address may be possible at once before its history counts as undecidable. */
const CONFIGS_MAX = 50_000;

export interface Evidence {
  readonly operations: readonly Operation[];
  readonly windows: Pick<Windows, 'covers'>;
  readonly leewayMs: number;
  /** How many of each kind must have gone well. */
  readonly okMin: number;
  /** How many thefts must have been detected, and how many superseded reset tokens refused. */
  readonly caughtMin: number;
  readonly bites: readonly { readonly what: string; readonly seen: string | null }[];
  /** Planned, and not even begun. */
  readonly leftOver: readonly string[];
  /** What was found outside the histories: records, control records, unexpected answers. */
  readonly findings: readonly string[];
}

export interface Verdict {
  readonly holds: boolean;
  readonly problems: readonly string[];
  readonly tallies: Tallies;
  readonly caught: Readonly<Record<Caught, number>>;
  readonly operations: number;
  readonly unknownOutsideFaults: number;
}

export const CAUGHT_IN_WORDS: Readonly<Record<Caught, string>> = {
  reuse: 'was the reuse of a refresh token detected',
  superseded: 'was a superseded reset token refused',
};

export function judgeRun(evidence: Evidence): Verdict {
  const { operations, windows, leewayMs, okMin, caughtMin } = evidence;
  const { findings, undecided, caught } = check(operations, { leewayMs, configsMax: CONFIGS_MAX });
  const tallies = tally(operations);
  const asked = operations.filter(({ call }) => call.kind !== 'final');
  const calm = asked.filter((operation) => !windows.covers(operation));
  const countOf = (kind: Outcome['kind']): number =>
    calm.filter(({ outcome }) => outcome.kind === kind).length;
  const [unknown, failed] = [countOf('unknown'), countOf('failed')];
  const problems = [
    ...findings.map(({ invariant, email, what }) => `invariant ${invariant}, ${email}: ${what}`),
    ...undecided.map((email) => `${email}: too many states are possible to decide`),
    ...evidence.findings,
    ...CLIENT_KINDS.filter((kind) => tallies[kind].ok < okMin).map(
      (kind) => `only ${tallies[kind].ok} of ${kind} went well, ${okMin} are wanted`,
    ),
    ...CAUGHT.filter((what) => caught[what] < caughtMin).map(
      (what) => `only ${caught[what]} times ${CAUGHT_IN_WORDS[what]}, ${caughtMin} are wanted`,
    ),
    ...(unknown > calm.length * UNSERVED_SHARE_MAX
      ? [`${unknown} of ${calm.length} outcomes outside faults are unknown`]
      : []),
    ...(failed > calm.length * UNSERVED_SHARE_MAX
      ? [`${failed} of ${calm.length} requests outside faults were turned away`]
      : []),
    ...evidence.bites.filter(({ seen }) => seen === null).map(({ what }) => `was not seen to bite: ${what}`),
    ...evidence.leftOver.map((what) => `was planned and never came: ${what}`),
  ];
  return {
    holds: problems.length === 0,
    problems,
    tallies,
    caught,
    operations: asked.length,
    unknownOutsideFaults: unknown,
  };
}
