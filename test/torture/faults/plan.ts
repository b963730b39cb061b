/** What goes wrong in a run, drawn from its seed before it starts. */
import { STAGES } from '../../../cutover/protocol/coordinator.ts';
import { STORES, type StoreName } from '../../../db/errors.ts';
import type { Strike } from '../flips/operator.ts';
import type { Random } from '../random.ts';

export type Fault =
  | { readonly kind: 'kill-instance'; readonly place: string; readonly lastsMs: number }
  /** Longer than a lease, so that it wakes up as somebody nobody counts on any more. */
  | { readonly kind: 'stop-instance'; readonly place: string; readonly lastsMs: number }
  | { readonly kind: 'kill-store'; readonly store: StoreName; readonly lastsMs: number }
  | { readonly kind: 'stop-store'; readonly store: StoreName; readonly lastsMs: number }
  /** On the way between one instance and one store. */
  | { readonly kind: 'cut'; readonly place: string; readonly store: StoreName; readonly lastsMs: number }
  | { readonly kind: 'hold'; readonly place: string; readonly store: StoreName; readonly lastsMs: number }
  | {
      readonly kind: 'delay';
      readonly place: string;
      readonly store: StoreName;
      readonly lastsMs: number;
      readonly delayMs: number;
    }
  /** Committed, but the reply was lost. */
  | {
      readonly kind: 'lose-replies';
      readonly place: string;
      readonly store: StoreName;
      readonly lastsMs: number;
      readonly count: number;
    };

export type FaultKind = Fault['kind'];

const KINDS: readonly FaultKind[] = [
  'kill-instance',
  'stop-instance',
  'kill-store',
  'stop-store',
  'cut',
  'hold',
  'delay',
  'lose-replies',
];

/** How many are all kinds, against each store. */
export const WHOLE_ROUND = KINDS.length + KINDS.filter(isOfStore).length;

/** Every kind once, then those of a store against the other one, before any comes again; in an order of the seed's. */
export function planFaults(random: Random, count: number, places: readonly string[]): readonly Fault[] {
  const faults: Fault[] = [];
  while (faults.length < count) {
    const first = KINDS.map((kind) => ({ kind, store: random.pick(STORES) }));
    const second = first
      .filter(({ kind }) => isOfStore(kind))
      .map(({ kind, store }) => ({ kind, store: other(store) }));
    const round = [...random.shuffle(first), ...random.shuffle(second)];
    faults.push(...round.map(({ kind, store }) => draw(kind, store, random, places)));
  }
  return faults.slice(0, count);
}

function isOfStore(kind: FaultKind): boolean {
  return !kind.endsWith('instance');
}

const other = (store: StoreName): StoreName => (store === 'mongo' ? 'postgres' : 'mongo');

function draw(kind: FaultKind, store: StoreName, random: Random, places: readonly string[]): Fault {
  const place = random.pick(places);
  switch (kind) {
    case 'kill-instance':
      return { kind, place, lastsMs: random.int(500, 3_000) };
    case 'stop-instance':
      return { kind, place, lastsMs: random.int(6_000, 10_000) };
    case 'kill-store':
    case 'stop-store':
      // Half of them outlast what a statement gets, and a lease.
      return { kind, store, lastsMs: random.pick([random.int(500, 4_000), random.int(6_000, 10_000)]) };
    case 'cut':
    case 'hold':
      return { kind, place, store, lastsMs: random.int(1_000, 5_000) };
    case 'delay':
      return { kind, place, store, lastsMs: random.int(2_000, 5_000), delayMs: random.int(20, 400) };
    case 'lose-replies':
      return { kind, place, store, lastsMs: 4_000, count: random.int(1, 4) };
  }
}

/** Steps of a move at which its coordinator is killed, or stopped and overtaken by others. */
export const STRUCK_STEPS: Readonly<Record<Strike['of'], readonly string[]>> = {
  'change of authority': STAGES.filter((stage) => !['abort', 'aborted', 'done'].includes(stage)),
  flip: ['settle', 'gates', 'flip', 'acknowledge'],
};

/** Each of them, in an order in which neighbours differ in both step and signal. */
const allStrikes = (of: Strike['of']): readonly Strike[] =>
  (['SIGKILL', 'SIGSTOP'] as const).flatMap((first) =>
    STRUCK_STEPS[of].map(
      (step, index): Strike => ({
        of,
        step,
        signal: index % 2 === 0 ? first : first === 'SIGKILL' ? 'SIGSTOP' : 'SIGKILL',
      }),
    ),
  );

/** The next `count` of the list, which goes on from seed to seed: so many seeds in a row have them all. */
export function planStrikes(of: Strike['of'], seed: number, count: number): readonly Strike[] {
  const strikes = allStrikes(of);
  const all = strikes.length;
  const from = (((seed * count) % all) + all) % all;
  const rotated = [...strikes.slice(from), ...strikes.slice(0, from)];
  return Array.from({ length: Math.ceil(count / all) }, () => rotated)
    .flat()
    .slice(0, count);
}

export function describeFault(fault: Fault): string {
  const { kind, lastsMs, ...rest } = fault;
  const where = Object.entries(rest).map(([name, value]) => (name === 'delayMs' ? `${value} ms` : value));
  return `${kind} ${where.join(' ')} for ${lastsMs} ms`;
}

export function describeStrike({ of, step, signal }: Strike): string {
  return `${signal === 'SIGKILL' ? 'kill' : 'stop'}-coordinator of a ${of} at ${step}`;
}
