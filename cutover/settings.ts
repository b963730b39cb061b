/**
 * What operators can change while everything runs: `cutover set KEY VALUE` writes it into the control record, and every
 * instance follows within one poll. Values are scalars, times are milliseconds.
 */

import { WrongArgument } from './argument.ts';
import { problemOfAllowList, problemOfNewAllowList } from './known-differences.ts';
import type { ControlRecord, Setting, Timing } from './protocol/types.ts';
import { DEFAULT_TIMING } from './protocol/types.ts';

interface Definition<T extends Setting> {
  readonly fallback: T;
  readonly description: string;
  /** What is wrong with the value, or null. */
  readonly check: (value: T) => string | null;
  /** The same of one that is set now, besides: what is recorded already keeps its meaning. */
  readonly checkNew?: (value: T, today: Date) => string | null;
}

const between =
  (min: number, max: number) =>
  (value: number): string | null =>
    Number.isFinite(value) && value >= min && value <= max ? null : `must be between ${min} and ${max}`;

const number = (fallback: number, min: number, max: number, description: string): Definition<number> => ({
  fallback,
  description,
  check: between(min, max),
});
/** Of things that nobody halves. */
const count = (fallback: number, min: number, max: number, description: string): Definition<number> => ({
  fallback,
  description,
  check: (value) => between(min, max)(value) ?? (Number.isInteger(value) ? null : 'must be a whole number'),
});
const flag = (fallback: boolean, description: string): Definition<boolean> => ({
  fallback,
  description,
  check: () => null,
});
const text = (
  fallback: string,
  description: string,
  check: (value: string) => string | null,
  checkNew: (value: string, today: Date) => string | null = () => null,
): Definition<string> => ({ fallback, description, check, checkNew });

const DAY = 86_400_000;

export const SETTINGS = {
  'poll-ms': number(DEFAULT_TIMING.pollMs, 20, 60_000, 'Time between two looks at the control record'),
  'fast-poll-ms': number(DEFAULT_TIMING.fastPollMs, 1, 1_000, 'The same while authority is about to change'),
  'heartbeat-ms': number(DEFAULT_TIMING.heartbeatMs, 20, 60_000, 'Time between two heartbeats'),
  'lease-ms': number(DEFAULT_TIMING.leaseMs, 200, 600_000, 'How long a heartbeat lets an instance serve'),
  'margin-ms': number(DEFAULT_TIMING.marginMs, 50, 600_000, 'Added to the lease by whoever waits it out'),
  'deadline-ms': number(
    DEFAULT_TIMING.deadlineMs,
    500,
    600_000,
    'After this anyone may abort a change of authority',
  ),
  'fence-max-ms': number(
    DEFAULT_TIMING.fenceMaxMs,
    100,
    60_000,
    'A fence longer than this aborts the attempt',
  ),
  'flip-attempts': count(3, 1, 20, 'How often an aborted change of authority is tried again'),

  'mirror-paused': flag(false, 'Stops the mirror; writes go on being marked'),
  'mirror-gather-ms': number(50, 0, 10_000, 'How long writes are gathered for one batch of the mirror'),
  'mirror-batch': count(100, 1, 1_000, 'Records in one batch of the mirror'),
  'mirror-retry-min-ms': number(50, 1, 60_000, 'First wait after a failure of the mirror'),
  'mirror-retry-max-ms': number(30_000, 10, 3_600_000, 'Longest wait after failures of the mirror'),
  'breaker-failures': count(5, 1, 1_000, 'Failures within the window that open a breaker'),
  'breaker-window-ms': number(10_000, 100, 600_000, 'The window of failures'),
  'breaker-half-open-ms': number(5_000, 100, 600_000, 'After this an open breaker lets one attempt through'),

  'shadow-sample': number(1, 0, 1, 'Share of reads that are compared'),
  'shadow-rate': number(200, 0, 100_000, 'Comparisons each second at most, for each instance'),
  'shadow-queue': count(1_000, 1, 100_000, 'Comparisons that may wait; more are shed and counted'),
  'shadow-recheck-ms': text(
    '1000,5000,30000',
    'How long a difference is left alone before each further look; after the last one it counts',
    (value) => (delaysIn(value) === null ? PROBLEM_OF_DELAYS : null),
  ),
  'shadow-baseline': flag(false, 'A/A mode: the authority is compared with itself'),
  'shadow-ignore': text(
    '[]',
    'Known differences as JSON: [{"entity","field","reason","until"}], until as YYYY-MM-DD',
    problemOfAllowList,
    problemOfNewAllowList,
  ),

  'gate-shadow-pending': count(1_000, 0, 1e9, 'To shadow-read: fewer pending than this'),
  'gate-shadow-oldest-ms': number(60_000, 0, 1e9, 'To shadow-read: none pending for longer'),
  'gate-primary-comparisons': count(
    10_000,
    0,
    1e9,
    'To change authority: comparisons in the window at least',
  ),
  'gate-primary-window-ms': number(DAY, 1_000, 30 * DAY, 'The window of comparisons that count'),
  'gate-primary-mismatches': count(0, 0, 1e9, 'To change authority: unexplained mismatches at most'),
  'gate-primary-pending': count(100, 0, 1e9, 'To change authority: fewer pending than this'),
  'gate-primary-oldest-ms': number(5_000, 0, 1e9, 'To change authority: none pending for longer'),
  'gate-verify-age-ms': number(
    DAY,
    1_000,
    30 * DAY,
    'To change authority: the last clean verify is no older',
  ),
  'gate-snapshot-age-ms': number(DAY, 1_000, 30 * DAY, 'To change authority: the last snapshot is no older'),
  'gate-only-soak-ms': number(
    DAY,
    0,
    365 * DAY,
    'To postgres-only: so long without fallback, conflict or fence',
  ),

  'backfill-rate': number(0, 0, 1e7, 'Documents each second a copy may move; 0: as fast as it goes'),
  'backfill-slow-p99-ms': number(
    200,
    0,
    60_000,
    'A copy goes slower while the p99 of the service on the authority is above this; 0: never',
  ),
  'backfill-stop-p99-ms': number(1_000, 0, 60_000, 'Above this a copy stops, to be resumed; 0: never'),
  'backfill-paused': flag(false, 'Pauses every copy'),
} as const;

export type SettingKey = keyof typeof SETTINGS;
type Widened<T> = T extends number ? number : T extends boolean ? boolean : string;
export type Settings = { readonly [K in SettingKey]: Widened<(typeof SETTINGS)[K]['fallback']> };

export const DEFAULT_SETTINGS = Object.fromEntries(
  Object.entries(SETTINGS).map(([key, { fallback }]) => [key, fallback]),
) as Settings;

const merged = new WeakMap<ControlRecord['settings'], Settings>();

/**
 * The settings of a record over the defaults; what this version does not know or take is left out, for a lease of no
 * number would never lapse. The same object for the same record.
 */
export function settingsOf(record: Pick<ControlRecord, 'settings'> | null): Settings {
  if (record === null) return DEFAULT_SETTINGS;
  const known = merged.get(record.settings);
  if (known !== undefined) return known;
  const taken = Object.entries(record.settings).filter(([key, value]) => isTaken(key, value));
  const settings = { ...DEFAULT_SETTINGS, ...Object.fromEntries(taken) } as Settings;
  merged.set(record.settings, settings);
  return settings;
}

/** Keys of a record that this version does not know, or whose values it does not take: the defaults count there. */
export function ignoredSettings({ settings }: Pick<ControlRecord, 'settings'>): readonly string[] {
  return Object.keys(settings).filter((key) => !isTaken(key, settings[key]));
}

function isTaken(key: string, value: Setting | undefined): boolean {
  if (!isSettingKey(key)) return false;
  const { fallback, check } = SETTINGS[key] as Definition<Setting>;
  return value !== undefined && typeof value === typeof fallback && check(value) === null;
}

/** Pairs that bound each other; each is kept by what is set together with what stands. */
const PAIRS: readonly {
  readonly keys: readonly [SettingKey, SettingKey];
  readonly holds: (settings: Settings) => boolean;
  readonly rule: string;
}[] = [
  {
    keys: ['lease-ms', 'heartbeat-ms'],
    holds: (settings) => settings['lease-ms'] >= 2 * settings['heartbeat-ms'],
    rule: 'lease-ms must be at least twice heartbeat-ms',
  },
  {
    keys: ['deadline-ms', 'fence-max-ms'],
    holds: (settings) => settings['deadline-ms'] > settings['fence-max-ms'],
    rule: 'deadline-ms must be above fence-max-ms',
  },
  {
    keys: ['fence-max-ms', 'fast-poll-ms'],
    holds: (settings) => settings['fence-max-ms'] >= 2 * settings['fast-poll-ms'],
    rule: 'fence-max-ms must be at least twice fast-poll-ms',
  },
  {
    keys: ['mirror-retry-max-ms', 'mirror-retry-min-ms'],
    holds: (settings) => settings['mirror-retry-max-ms'] >= settings['mirror-retry-min-ms'],
    rule: 'mirror-retry-max-ms must be at least mirror-retry-min-ms',
  },
  {
    keys: ['backfill-stop-p99-ms', 'backfill-slow-p99-ms'],
    holds: (settings) =>
      settings['backfill-stop-p99-ms'] === 0 ||
      settings['backfill-stop-p99-ms'] >= settings['backfill-slow-p99-ms'],
    rule: 'backfill-stop-p99-ms must be 0, or at least backfill-slow-p99-ms',
  },
];

/** What a record with this value would contradict; null: nothing. */
export function contradictionOf(
  { settings }: Pick<ControlRecord, 'settings'>,
  key: string,
  value: Setting,
): string | null {
  const next = settingsOf({ settings: { ...settings, [key]: value } });
  const broken = PAIRS.find(({ keys, holds }) => keys.some((each) => each === key) && !holds(next));
  return broken?.rule ?? null;
}

export function timingOf(settings: Settings): Timing {
  return {
    heartbeatMs: settings['heartbeat-ms'],
    pollMs: settings['poll-ms'],
    fastPollMs: settings['fast-poll-ms'],
    leaseMs: settings['lease-ms'],
    marginMs: settings['margin-ms'],
    deadlineMs: settings['deadline-ms'],
    fenceMaxMs: settings['fence-max-ms'],
  };
}

export function isSettingKey(key: string): key is SettingKey {
  return Object.hasOwn(SETTINGS, key);
}

/** A value as typed on a command line. Throws `WrongArgument`. */
export function parseSetting(key: SettingKey, typed: string, today: Date): Setting {
  const { fallback, check, checkNew } = SETTINGS[key] as Definition<Setting>;
  const value = parseAs(fallback, typed);
  const problem =
    value === undefined ? `must be ${kindOf(fallback)}` : (check(value) ?? checkNew?.(value, today) ?? null);
  if (value === undefined || problem !== null) throw new WrongArgument(`${key} ${problem}`);
  return value;
}

const kindOf = (fallback: Setting) =>
  typeof fallback === 'boolean' ? 'true or false' : `a ${typeof fallback}`;

function parseAs(fallback: Setting, typed: string): Setting | undefined {
  if (typeof fallback === 'string') return typed;
  if (typeof fallback === 'boolean') return typed === 'true' ? true : typed === 'false' ? false : undefined;
  return /^-?\d+(\.\d+)?$/.test(typed.trim()) ? Number(typed) : undefined;
}

const PROBLEM_OF_DELAYS = 'must be one to ten times from 10 to 600000, such as 1000,5000,30000';

function delaysIn(value: string): readonly number[] | null {
  const parts = value.split(',').map((part) => part.trim());
  const delays = parts.map(Number);
  const fit = delays.every((ms, n) => parts[n] !== '' && Number.isInteger(ms) && ms >= 10 && ms <= 600_000);
  return fit && delays.length <= 10 ? delays : null;
}

/** The times of the setting `shadow-recheck-ms`, ms. */
export function recheckDelaysOf({ 'shadow-recheck-ms': value }: Settings): readonly number[] {
  return delaysIn(value) ?? [];
}
