/** Every rule of the protocol, taken out in turn, and the smallest bound in which the search sees what it was for. */
import { RULES, type Rules } from '../../../cutover/protocol/rules.ts';
import type { Scenario } from './model.ts';
import { HANDOVER_SCENARIO, KEEP_SCENARIO, SESSION_SCENARIO, SIGNUP_SCENARIO } from './scenarios.ts';
import { afterFlip, withOrphan } from './starts.ts';

export interface Mutation {
  readonly rule: string;
  readonly rules: Rules;
  readonly scenario: Scenario;
  /** Nothing is found without it either: the other rules cover what it does. Kept as a second line, and said so. */
  readonly redundant: boolean;
}

const one = { ...SESSION_SCENARIO, attempts: 1, faults: 1 } as const;
const firstOnly: Scenario = { ...one, without: 2 | 4 };
const nothing: Scenario = { ...one, without: 1 | 2 | 4 };
const twoOfSession: Scenario = { ...one, without: 1 };
const calm: Scenario = { ...firstOnly, faults: 0 };

const TABLE: readonly Omit<Mutation, 'redundant'>[] = [
  {
    rule: 'lease incarnations',
    rules: { ...RULES, heldWithoutGap: () => true },
    scenario: { ...firstOnly, kinds: ['pause'] },
  },
  {
    rule: 'the read after the heartbeat',
    rules: { ...RULES, heartbeatSteps: ['read', 'commit'] },
    scenario: { ...firstOnly, kinds: ['pause'] },
  },
  { rule: 'no self-resume', rules: { ...RULES, stopRunsOut: () => true }, scenario: calm },
  {
    rule: 'lease counted from the send',
    rules: { ...RULES, leaseStartsAt: (_sent, renewed) => renewed },
    scenario: { ...nothing, kinds: ['pause'], faults: 2 },
  },
  {
    rule: 'transition ids',
    rules: { ...RULES, sameTransition: () => true },
    scenario: { ...calm, attempts: 2 },
  },
  { rule: 'loser first', rules: { ...RULES, loserFirst: false }, scenario: calm },
  {
    rule: 'forward only',
    rules: {
      ...RULES,
      abortable: (record, id) => record.transition?.id === id || record.changedBy === id,
    },
    scenario: calm,
  },
  {
    rule: 'stale-epoch writes refused',
    rules: { ...RULES, isStale: () => false },
    scenario: { ...twoOfSession, faults: 0, start: (first) => afterFlip(first, 1, 'admitted', 0) },
  },
  {
    rule: 'marks cleared on exact stamps',
    rules: { ...RULES, clearsMark: () => true },
    scenario: { ...twoOfSession, faults: 0 },
  },
  {
    rule: 'orphans resolved',
    rules: { ...RULES, resolvesOrphans: false },
    scenario: { ...firstOnly, kinds: ['pause'] },
  },
  {
    rule: 'no change over an orphan',
    rules: { ...RULES, orphansBlock: false },
    scenario: { ...calm, start: withOrphan },
  },
  {
    rule: 'the clash rule',
    rules: { ...RULES, resolvesClashes: false },
    scenario: { ...HANDOVER_SCENARIO, attempts: 1 },
  },
  { rule: 'the fence', rules: { ...RULES, fenceStops: () => false }, scenario: calm },
  {
    rule: 'the second lease check',
    rules: { ...RULES, checksAfterAnswer: false },
    scenario: { ...firstOnly, kinds: ['pause'] },
  },
  {
    rule: 'a lease check between two writes',
    rules: { ...RULES, checksBetweenWrites: false },
    scenario: { ...KEEP_SCENARIO, attempts: 1, start: (first) => afterFlip(first, 0, 'sending', 1) },
  },
  {
    rule: 'a stop with nothing in flight',
    rules: { ...RULES, stopsWithNothingInFlight: false },
    scenario: calm,
  },
  { rule: 'drained marks', rules: { ...RULES, marksBlock: false }, scenario: calm },
  {
    rule: 'orphans and clashes left alone behind a fence',
    rules: { ...RULES, resolvingStops: false },
    scenario: { ...SIGNUP_SCENARIO, attempts: 1 },
  },
  {
    rule: 'never lower than seen',
    rules: { ...RULES, isLower: () => false },
    scenario: { ...nothing, kinds: ['pause'] },
  },
  {
    rule: 'both clocks',
    rules: { ...RULES, elapsedMs: (from, to) => to.monotonicMs - from.monotonicMs },
    scenario: { ...nothing, kinds: ['pause'], suspends: true },
  },
  {
    rule: 'only newer states are applied',
    rules: { ...RULES, isNewer: () => true },
    scenario: { ...twoOfSession, kinds: ['pause'] },
  },
  {
    rule: 'applies under an old epoch refused',
    rules: { ...RULES, applyIsStale: () => false },
    scenario: { ...twoOfSession, kinds: ['pause'] },
  },
];

const REDUNDANT = ['applies under an old epoch refused'];

export const MUTATIONS: readonly Mutation[] = TABLE.map((mutation) => ({
  ...mutation,
  redundant: REDUNDANT.includes(mutation.rule),
}));

/** What an earlier model search of the flip had found, and what is taken out here for each. */
export const DESIGN_RULES: Readonly<Record<string, readonly string[]>> = {
  'lease incarnations': ['lease incarnations'],
  'the read after the heartbeat': ['the read after the heartbeat'],
  'no self-resume': ['no self-resume'],
  'lease counted from the send': ['lease counted from the send'],
  'transition ids': ['transition ids'],
  'loser first and forward only': ['loser first', 'forward only'],
  'stale-epoch writes refused': ['stale-epoch writes refused'],
  'marks cleared on exact stamps': ['marks cleared on exact stamps'],
  'orphans resolved before any change': ['orphans resolved', 'no change over an orphan'],
  'the clash rule': ['the clash rule'],
};
