/** The verdict on a run's history: what cannot be explained, by invariant, and whether enough was done to tell. */
import { type Caught, CLIENT_KINDS, type Kind, type Operation } from '../history/types.ts';
import { judge, type Limits } from './linearize.ts';
import { isAlive, type State } from './state.ts';

export interface Finding {
  /** By the numbers of cutover/README.md, "What it promises". */
  readonly invariant: number;
  readonly email: string;
  readonly operation: number;
  readonly what: string;
}

export interface Tally {
  readonly ok: number;
  readonly refused: number;
  readonly failed: number;
  readonly unknown: number;
}

export type Tallies = Readonly<Record<(typeof CLIENT_KINDS)[number], Tally>>;

/** Findings of all histories, the addresses whose history could not be decided, and how often a wrong was caught. */
export function check(
  operations: readonly Operation[],
  limits: Limits,
): {
  readonly findings: readonly Finding[];
  readonly undecided: readonly string[];
  readonly caught: Readonly<Record<Caught, number>>;
} {
  const findings: Finding[] = [];
  const all: Caught[] = [];
  const undecided: string[] = [];
  for (const [email, history] of byEmail(operations)) {
    const judgement = judge(history, limits);
    if (judgement.kind === 'undecided') undecided.push(email);
    if (judgement.kind === 'explained') all.push(...judgement.caught);
    if (judgement.kind === 'violation') findings.push(describe(email, judgement.at, judgement.before));
  }
  const count = (what: Caught): number => all.filter((each) => each === what).length;
  return { findings, undecided, caught: { reuse: count('reuse'), superseded: count('superseded') } };
}

function byEmail(operations: readonly Operation[]): ReadonlyMap<string, readonly Operation[]> {
  return Map.groupBy(operations, (operation) => operation.email);
}

export function tally(operations: readonly Operation[]): Tallies {
  const counts = Object.fromEntries(
    CLIENT_KINDS.map((kind) => [kind, { ok: 0, refused: 0, failed: 0, unknown: 0 }]),
  ) as Record<(typeof CLIENT_KINDS)[number], Record<keyof Tally, number>>;
  for (const { call, outcome } of operations) {
    // What the old service has done counts for nothing.
    if (call.kind === 'final' || ('legacy' in call && call.legacy === true)) continue;
    counts[call.kind][outcome.kind] += 1;
  }
  return counts;
}

function describe(email: string, at: Operation, before: readonly State[]): Finding {
  const { call, outcome } = at;
  const answered =
    outcome.kind === 'ok'
      ? `ok ${JSON.stringify(outcome.answer)}`
      : outcome.kind === 'refused'
        ? `refused (${outcome.code})`
        : outcome.kind;
  const possible = before.slice(0, 3).map(summary).join(' or ');
  return {
    invariant: invariantOf(at, before),
    email,
    operation: at.id,
    what: `${JSON.stringify(call)} at ${at.instance} was ${answered}, but before it: ${possible}`,
  };
}

function summary(state: State): string {
  const { account } = state;
  const alive = Object.keys(state.sessions)
    .map(Number)
    .filter((name) => isAlive(state, name));
  if (account === null) return `no account (${state.erased} erased)`;
  const { signup, password, verified, resetBy } = account;
  return `account of signup ${signup}, password ${password}, ${verified ? 'verified' : 'not verified'}, reset token of ${resetBy ?? 'none'}, sessions alive ${alive.join(' ') || 'none'}`;
}

/** Which promise an answer breaks that no state explains; the one it most plainly does. */
function invariantOf({ call, outcome }: Operation, before: readonly State[]): number {
  const kind: Kind = call.kind;
  if (outcome.kind === 'ok') {
    if (kind === 'signup') return 2;
    if (kind === 'verify' || kind === 'reset') return 4;
    if (call.kind === 'exchange') return before.some((state) => isAlive(state, call.session)) ? 4 : 3;
    if ('session' in call && before.every((state) => !isAlive(state, call.session))) return 3;
    const listed = outcome.answer.sessions ?? [];
    if (before.every((state) => listed.some((name) => !isAlive(state, name)))) return 3;
    if (call.kind === 'end' && before.every(({ sessions }) => sessions[call.target]?.revoked === true))
      return 3;
    if (kind === 'refresh') return 4;
    if (kind === 'login' && before.every((state) => state.account !== null)) return 5;
    if (outcome.answer.isVerified === false && before.every(({ account }) => account?.verified === true))
      return 5;
    const { generation } = outcome.answer;
    if (generation !== undefined && before.every(({ account }) => account && generation < account.generation))
      return 5;
  }
  return 1;
}
