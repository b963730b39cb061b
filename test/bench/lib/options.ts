/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';
import { STORES, type StoreName } from '../../../db/errors.ts';

export const PARTS = ['logins', 'rates', 'memory', 'peer', 'modes', 'flip', 'router', 'bulk'] as const;
export type PartName = (typeof PARTS)[number];

export interface Options {
  readonly parts: readonly PartName[];
  readonly stores: readonly StoreName[];
  /** A smoke test: the least that touches everything. */
  readonly quick: boolean;
  /** Length of one measured window, and of what is thrown away before it. */
  readonly windowMs: number;
  readonly warmUpMs: number;
  /** How long a process is left alone before its memory at rest is read. */
  readonly restMs: number;
  /** A and B alternate as ABBA; so many times over. */
  readonly rounds: number;
  readonly cost: number;
  /** People seeded into each store. */
  readonly people: number;
  /** Users of the bulk verbs, the first crowd in each round, the others once. */
  readonly crowds: readonly number[];
  /** Connections of a load that is to find the maximum; the peer gets as many. */
  readonly connections: number;
  readonly poolMax: number;
  /** Arrivals each second of the open loop. */
  readonly rates: { readonly me: number; readonly refresh: number };
  readonly jsonFile: string | null;
  /** Folder for CPU profiles of the service, or null. */
  readonly profileDir: string | null;
  readonly logLevel: string;
}

export const HELP = `npm run bench -- [options]

Measures the service and prints a table of results against their goals. Takes about half an hour, a good part
of it for the million users of bulk.

  --only NAME,...     parts to run: ${PARTS.join(', ')} (all)
                        logins  logins per second as a share of bare bcryptjs, and event-loop delay meanwhile
                        rates   me and refresh: latency at a fixed rate (open loop) and maximum throughput
                        memory  of the service process at rest and under load
                        peer    session look-up and refresh beside better-auth, on the same PostgreSQL
                        modes   latency at a fixed rate of each mode with a mirror beside the one without
                        flip    the longest wait at a change of authority, forwards and back
                        router  what the router adds to a call, beside LaunchDarkly's createMigration
                        bulk    backfill and verify beside a bare cursor and a bare COPY, their memory at 100 k and
                                1 M users
  --store NAME,...    mongo, postgres (both)
  --seconds N         length of one measured window, 1 to 60 (8)
  --rounds N          how often each comparison alternates ABBA, 1 to 10 (2)
  --cost N            bcrypt cost of logins, 10 to 14 (12)
  --rate-me N         arrivals per second of the open loop on GET /auth/me (200)
  --rate-refresh N    the same on GET /auth/refresh (100)
  --log-level LEVEL   of the service, whose log goes to the null device (info)
  --users N,...       users of bulk, the first crowd in each round, the others once (100000,1000000)
  --quick             a smoke test of a few minutes: short windows, one round, four flips
  --json FILE         where results go (bench-results/TIME.json)
  --cpu-prof FOLDER   write CPU profiles of the service
  --help              this text

A goal that is missed is printed as missed. The exit code is 1 only when something failed.
`;

/** Throws with one line on the first argument that makes no sense. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      store: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      cost: { type: 'string' },
      'rate-me': { type: 'string' },
      'rate-refresh': { type: 'string' },
      'log-level': { type: 'string' },
      users: { type: 'string' },
      quick: { type: 'boolean' },
      json: { type: 'string' },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const quick = values.quick === true;
  return {
    quick,
    parts: pick('--only', values.only, PARTS),
    stores: pick('--store', values.store, STORES),
    windowMs: whole('--seconds', values.seconds, quick ? 1 : 8, 1, 60) * 1000,
    warmUpMs: quick ? 500 : 1500,
    restMs: quick ? 500 : 3000,
    rounds: whole('--rounds', values.rounds, quick ? 1 : 2, 1, 10),
    cost: whole('--cost', values.cost, quick ? 10 : 12, 10, 14),
    people: quick ? 32 : 400,
    crowds: crowdsOf(values.users ?? (quick ? '5000,20000' : '100000,1000000')),
    connections: 32,
    poolMax: 20,
    rates: {
      me: whole('--rate-me', values['rate-me'], 200, 1, 20_000),
      refresh: whole('--rate-refresh', values['rate-refresh'], 100, 1, 20_000),
    },
    jsonFile: values.json ?? null,
    profileDir: values['cpu-prof'] ?? null,
    logLevel: values['log-level'] ?? 'info',
  };
}

const crowdsOf = (text: string): readonly number[] =>
  text.split(',').map((each) => whole('--users', each, 0, 1_000, 10_000_000));

function pick<T extends string>(name: string, text: string | undefined, known: readonly T[]): readonly T[] {
  if (text === undefined) return known;
  const asked = text.split(',').map((word) => word.trim());
  const unknown = asked.find((word) => !known.some((each) => each === word));
  if (unknown !== undefined) throw new Error(`${name}: ${unknown} is not one of ${known.join(', ')}`);
  return known.filter((each) => asked.includes(each));
}

function whole(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new Error(`${name}: must be a whole number from ${min} to ${max}`);
  }
  return value;
}
