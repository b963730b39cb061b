/**
 * The troubles of a short run. Each begins at a step of a change of authority and mostly lasts until a later one, so
 * that in a second of virtual time something goes wrong exactly where the rules are needed.
 */
import { STORES } from '../../../db/errors.ts';
import type { Faults, Moment } from './faults.ts';
import type { Call, Extra, Network } from './network.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface ScriptOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: Network;
  readonly storeTimeoutMs: number;
  readonly instances: () => readonly SimProcess[];
  /** Nothing goes wrong at all. */
  readonly calm: boolean;
  readonly newInstance: () => SimProcess;
  readonly newOperator: () => void;
  readonly onFault: (what: string) => void;
}

export interface Script extends Omit<Faults, 'onStep'> {
  /** An operator begins a step. */
  onStep(operator: SimProcess, step: string): void;
  delay(call: Call): Extra | null;
  /** A stalled operator's successor needs longer, ms. */
  longerMs(): number;
  /** Those that sleep now. */
  asleep(): number;
}

const BEFORE = ['settle', 'gates', 'canary', 'wait-silent'] as const;
const UP_TO_FENCE = ['canary', 'wait-silent', 'announce', 'note', 'await-announced', 'fence'] as const;
const CLOSED = ['await-stopped', 'drain-loser', 'drain-winner', 'last-check', 'ask-winner', 'lose'] as const;
const AFTER = ['gain', 'acknowledge'] as const;

const isOperation = ({ epoch }: Call): boolean => epoch !== null;
const isWrite = ({ epoch, name }: Call): boolean => epoch !== null && !/^(find|list|ping)/.test(name);
const isBeat = ({ name }: Call): boolean => name === 'writeLease';
const isControl = ({ name }: Call): boolean => name === 'readControl';
const isBooks = (call: Call): boolean => isBeat(call) || isControl(call);
const isMirroring = ({ name }: Call): boolean =>
  ['read', 'apply', 'clearMarks', 'touch', 'moveAside', 'marks'].includes(name);

type Test = (call: Call) => boolean;

interface Slowness {
  readonly process: SimProcess | null;
  readonly isIt: Test;
  readonly chance: number;
  readonly there: readonly [number, number];
  readonly back: readonly [number, number];
  readonly refused?: boolean;
  readonly hold?: Extra['hold'];

  left: number;
}

export function createScript(options: ScriptOptions): Script {
  const { scheduler, random, network, storeTimeoutMs, instances, calm } = options;
  const { newInstance, newOperator, onFault } = options;
  let over = false;
  let waiting: {
    readonly steps: readonly string[];
    readonly not: SimProcess | null;
    readonly run: () => void;
  }[] = [];
  const slow = new Set<Slowness>();
  const traps = new Map<
    SimProcess,
    { readonly moment: Moment; readonly isIt: Test; readonly spring: () => void }
  >();
  const sleeping = new Set<SimProcess>();

  /** Once an operator, other than that one, begins one of these steps, and a moment later. */
  const at = (
    steps: readonly string[],
    laterMs: number,
    run: () => void,
    not: SimProcess | null = null,
  ): void => {
    const then = (): void => void scheduler.after(random.between(0, laterMs), run);
    waiting.push({ steps, not, run: then });
  };
  /** The first of both. */
  const atOrAfter = (steps: readonly string[], laterMs: number, limitMs: number, run: () => void): void => {
    let done = false;
    const once = (): void => {
      if (!done) run();
      done = true;
    };
    at(steps, laterMs, once);
    scheduler.after(limitMs, once);
  };
  const one = <T>(list: readonly T[]): readonly T[] => [random.pick(list)];
  const anInstance = (): SimProcess | null => {
    const running = instances().filter((process) => process.isRunning());
    return running.length === 0 ? null : random.pick(running);
  };

  function wake(process: SimProcess): void {
    sleeping.delete(process);
    process.resume();
  }
  /** Until then, or else for a second or so. */
  function sleep(process: SimProcess, wakeAt: readonly string[] | null): void {
    if (!process.isRunning()) return;
    if (random.chance(0.35)) process.suspend();
    else process.pause();
    sleeping.add(process);
    atOrAfter(wakeAt ?? [], 50, random.between(500, 1_100), () => wake(process));
  }

  function slowDown(
    slowness: Omit<Slowness, 'left'>,
    untilSteps: readonly string[],
    limitMs: number,
    count = Infinity,
  ) {
    const entry: Slowness = { ...slowness, left: count };
    slow.add(entry);
    atOrAfter(untilSteps, 10, limitMs, () => slow.delete(entry));
  }

  const withInstance = (what: string, run: (process: SimProcess) => void) => (): void => {
    const process = anInstance();
    if (over || process === null) return;
    onFault(what);
    run(process);
  };
  /** Both statements of a heartbeat must come through in time. */
  const nearlyMs = 0.95 * storeTimeoutMs;
  const slowBooks = (process: SimProcess): void => {
    const long: readonly [number, number] = [0, nearlyMs];
    const way = random.below(3);
    slowDown(
      {
        process,
        isIt: random.pick([isBooks, isBooks, isBeat, isControl]),
        chance: random.pick([0.5, 1]),
        there: way === 1 ? long : [0, 0],
        back: way === 1 ? [0, 0] : long,
      },
      one(AFTER),
      random.between(300, 900),
    );
  };

  const NONE: readonly [number, number] = [0, 0];
  const LOST: readonly [number, number] = [1e9, 1e9];
  const whole = { chance: 1, there: NONE, back: NONE } as const;

  /** One heartbeat is answered as late as it may be, and after it nothing is heard any more, but clients are served. */
  function lastBeat(process: SimProcess): void {
    let beats = 0;
    const isLater: Test = (call) => {
      if (isBeat(call)) beats += 1;
      return beats > 1 && isBooks(call);
    };
    slowDown({ ...whole, process, isIt: isLater, there: LOST }, AFTER, 1_000);
    const isNow: Test = (call) => beats === 1 && isBooks(call);
    slowDown({ ...whole, process, isIt: isNow, back: [0.6 * nearlyMs, nearlyMs] }, AFTER, 1_000);
  }

  /** It has read, or begun to, and its row arrives only when nobody looks for it any more. */
  function lateRow(process: SimProcess): void {
    let hasBeaten = false;
    const isAfter: Test = (call) => {
      hasBeaten ||= isBeat(call);
      return hasBeaten && isControl(call);
    };
    slowDown({ ...whole, process, isIt: isAfter, back: [0.3 * nearlyMs, nearlyMs] }, ['none'], 500);
    slowDown({ ...whole, process, isIt: isBeat, there: [10, nearlyMs] }, ['none'], 500, 1);
  }

  /**
   * Cut off from the books for longer than its lease, and back just before authority moves, while an operation from
   * before the gap still has no answer: a new lease must not cover it.
   */
  function silentAWhile(process: SimProcess): void {
    const refused = { ...whole, process, isIt: isBooks, refused: true };
    slowDown(refused, one(['drain-loser', 'drain-winner', 'last-check']), 900);
    slowDown({ ...whole, process, isIt: isOperation, back: [0.4 * nearlyMs, nearlyMs] }, AFTER, 900);
  }

  /** Its last write arrives when authority has moved, or moves once more, and whoever sent it is gone. */
  function leftOnItsWay(process: SimProcess): void {
    const until = random.chance(0.7) ? ['lose', 'gain', 'acknowledge'] : [...UP_TO_FENCE, ...CLOSED];
    const hold = (letGo: () => void): void => {
      onFault('left on its way');
      const again = until.length > 3 ? ['acknowledge'] : null;
      const release = (): void => atOrAfter(one(until), 30, 700, letGo);
      if (again === null) release();
      else atOrAfter(again, 0, 700, release);
      scheduler.after(random.between(0, 10), () => {
        if (random.chance(0.5)) process.kill();
        else sleep(process, one(AFTER));
      });
    };
    slowDown({ ...whole, process, isIt: isWrite, hold }, ['none'], 500, 1);
  }

  /** Looks at the record are answered so late that a heartbeat has long said more. */
  function overtaken(process: SimProcess): void {
    let beating = false;
    const isLook: Test = (call) => {
      if (isBeat(call)) beating = true;
      if (!isControl(call)) return false;
      const own = !beating;
      beating = false;
      return own;
    };
    slowDown({ ...whole, process, isIt: isLook, back: [20, 0.8 * nearlyMs] }, AFTER, 600);
  }

  const TROUBLES: readonly (readonly [weight: number, arm: () => void])[] = [
    // Stopped with something in its hands, woken later: before, while or after authority moves.
    [
      5,
      () => {
        const moment: Moment = random.pick(['sending', 'carried out', 'carried out']);
        const isIt = random.pick([isOperation, isOperation, isWrite, isBeat, isMirroring]);
        const wakeAt = one([...CLOSED, ...AFTER, ...AFTER]);
        const spring = (process: SimProcess) => () => {
          onFault(`caught ${moment}`);
          sleep(process, wakeAt);
        };
        at(
          one([...BEFORE, ...UP_TO_FENCE]),
          10,
          withInstance(
            'trap',
            (process) => void traps.set(process, { moment, isIt, spring: spring(process) }),
          ),
        );
      },
    ],
    [
      2,
      () => at(one([...BEFORE, ...UP_TO_FENCE, 'await-stopped']), 30, withInstance('slow books', slowBooks)),
    ],
    [5, () => at(one(['wait-silent', 'announce', 'note']), 30, withInstance('last beat', lastBeat))],
    [2, () => at(one(['await-announced', 'fence']), 30, withInstance('overtaken looks', overtaken))],
    [
      3,
      () =>
        at(
          one(['wait-silent', 'announce', 'note', 'await-announced']),
          30,
          withInstance('silent for a while', silentAWhile),
        ),
    ],
    [
      2,
      () =>
        at(one(['canary', 'wait-silent', 'announce', 'await-announced', 'fence']), 20, () => {
          if (over) return;
          onFault('late row');
          lateRow(newInstance());
        }),
    ],
    [
      2,
      () =>
        at(
          one(['await-announced', 'fence', 'await-stopped']),
          20,
          withInstance('slow operations', (process) =>
            slowDown(
              { ...whole, process, isIt: isOperation, chance: 0.5, back: [20, nearlyMs] },
              one(AFTER),
              300,
            ),
          ),
        ),
    ],
    [3, () => at(one([...BEFORE, 'announce']), 20, withInstance('last write', leftOnItsWay))],
    // Through a whole change, into the next one, with a write that it sends on waking.
    [
      1,
      () =>
        at(
          one([...BEFORE, 'announce']),
          10,
          withInstance('trap', (process) => {
            const spring = (): void => {
              onFault('slept through a change');
              sleep(process, null);
              at(['acknowledge'], 0, () => at(one([...UP_TO_FENCE, ...CLOSED]), 20, () => wake(process)));
            };
            traps.set(process, { moment: 'sending', isIt: isWrite, spring });
          }),
        ),
    ],
    [
      1,
      () =>
        at(one([...UP_TO_FENCE, ...CLOSED]), 10, () => {
          if (over) return;
          onFault('late start');
          slowBooks(newInstance());
        }),
    ],
    // Writes that land around the flip, or behind it.
    [
      3,
      () =>
        at(
          one([...UP_TO_FENCE, 'await-stopped']),
          20,
          withInstance('held writes', (process) =>
            slowDown(
              { process, isIt: isWrite, chance: 1, there: [20, 2 * storeTimeoutMs], back: [0, 0] },
              AFTER,
              600,
              1 + random.below(3),
            ),
          ),
        ),
    ],
    [
      3,
      () =>
        at(one([...UP_TO_FENCE, ...CLOSED]), 20, () => {
          if (over) return;
          onFault('slow mirror');
          const process = random.chance(0.5) ? null : anInstance();
          const isIt = random.pick([isMirroring, ({ name }: Call) => name === 'apply']);
          const away: readonly [number, number] = [5, random.pick([0.8, 1.3]) * storeTimeoutMs];
          slowDown(
            { process, isIt, chance: 0.7, there: away, back: [0, 0] },
            one(AFTER),
            random.between(50, 500),
          );
        }),
    ],
    [
      1,
      () =>
        at(
          one([...UP_TO_FENCE, ...CLOSED, ...AFTER]),
          10,
          withInstance('kill', (process) => process.kill()),
        ),
    ],
    [
      1,
      () =>
        at(
          one([...UP_TO_FENCE, ...CLOSED]),
          10,
          withInstance('clock set', (process) => process.shiftWall(random.between(-1_000, 1_000))),
        ),
    ],
    [
      1,
      () =>
        at(one([...UP_TO_FENCE, ...CLOSED, ...AFTER]), 10, () => {
          if (over) return;
          const store = random.pick(STORES);
          onFault(`freeze ${store}`);
          network.freeze(store);
          scheduler.after(random.between(10, 300), () => network.thaw(store));
        }),
    ],
  ];
  const total = TROUBLES.reduce((sum, [weight]) => sum + weight, 0);
  function arm(): void {
    let left = random.next() * total;
    for (const [weight, run] of TROUBLES) {
      left -= weight;
      if (left >= 0) continue;
      run();
      return;
    }
  }

  /** Stops the operator there; another takes over, and in the middle of that one's change it goes on. */
  let longerMs = 0;
  let stallsAt: string | null = null;
  let killsAt: string | null = null;
  function stall(operator: SimProcess, step: string): void {
    onFault(`operator stalled at ${step}`);
    longerMs = 700;
    operator.pause();
    sleeping.add(operator);
    scheduler.after(random.between(0, 100), newOperator);
    const goOn = (): void => {
      if (sleeping.has(operator)) wake(operator);
    };
    // What it does then is decided by what it had seen: with one write to go, another's closed fence is its worst moment.
    const moments =
      step === 'lose'
        ? (['fence', 'await-stopped', 'await-stopped', 'drain-loser'] as const)
        : [...UP_TO_FENCE.slice(2), ...CLOSED, ...AFTER];
    at(one(moments), 20, goOn, operator);
    // Some about when others give the attempt up: its deadline counts from the announcement.
    scheduler.after(random.chance(0.4) ? random.between(300, 520) : random.between(900, 1_300), goOn);
  }

  return {
    start() {
      if (calm) return;
      const times = 1 + random.below(3);
      for (let index = 0; index < times; index += 1) arm();
      const step = random.pick([...CLOSED, 'lose', 'lose', 'fence', 'gain', 'announce']);
      if (random.chance(0.25)) stallsAt = step;
      else if (random.chance(0.08)) killsAt = step;
    },
    onStep(operator, step) {
      if (over) return;
      if (step === stallsAt) {
        stallsAt = null;
        stall(operator, step);
      } else if (step === killsAt) {
        killsAt = null;
        onFault(`operator killed at ${step}`);
        operator.kill();
      }
      const due = waiting.filter(({ steps, not }) => not !== operator && steps.includes(step));
      waiting = waiting.filter((each) => !due.includes(each));
      for (const { run } of due) run();
    },
    reached(moment, call) {
      const trap = traps.get(call.process);
      if (trap?.moment !== moment || over || !trap.isIt(call)) return;
      traps.delete(call.process);
      trap.spring();
    },
    delay(call) {
      if (slow.size === 0) return null;
      for (const slowness of slow) {
        const { process, isIt, chance, there, back, refused = false, hold } = slowness;
        if ((process !== null && process !== call.process) || !isIt(call) || !random.chance(chance)) continue;
        slowness.left -= 1;
        if (slowness.left <= 0) slow.delete(slowness);
        return {
          thereMs: random.between(...there),
          backMs: random.between(...back),
          refused,
          ...(hold && { hold }),
        };
      }
      return null;
    },
    longerMs: () => longerMs,
    asleep: () => sleeping.size,
    end() {
      over = true;
      waiting = [];
      slow.clear();
      for (const store of STORES) network.thaw(store);
      for (const process of sleeping) process.resume();
      sleeping.clear();
      for (const process of instances()) process.resume();
    },
  };
}
