/** One thing after the other goes wrong, and is put right again some time later. */
import { STORES, type StoreName } from '../../../db/errors.ts';
import type { Climate } from './climate.ts';
import type { Call, Network } from './network.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface FaultOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly climate: Climate;
  readonly network: Network;
  readonly processes: () => readonly SimProcess[];
  /** The store that has authority now. */
  readonly authority: () => StoreName;
  /** Raised by each change of authority. */
  readonly epoch: () => number;
  readonly onFault: (what: string) => void;
}

/** Where in a call a process is caught. */
export type Moment = 'sending' | 'carried out';

/** What it is doing then: what an instance answers for, what its lease hangs on, what its mirror does. */
const CALLS: readonly ((call: Call) => boolean)[] = [
  ({ epoch }) => epoch !== null,
  // A write that its process sends on waking, under an authority that has moved meanwhile, leaves an orphan.
  ({ epoch, name }) => epoch !== null && !/^(find|list)/.test(name),
  ({ epoch, name }) => epoch !== null && !/^(find|list)/.test(name),
  ({ name }) => name === 'writeLease',
  ({ name }) => name === 'readControl',
  ({ name }) => ['read', 'apply', 'clearMarks', 'touch', 'moveAside'].includes(name),
];

export interface Faults {
  start(): void;
  /** An operator takes a step: a good time for something to go wrong. */
  onStep(): void;
  /** A process is at this moment of a call: it may be what a fault has been waiting for. */
  reached(moment: Moment, call: Call): void;
  /** Nothing new goes wrong, and everything is put right. */
  end(): void;
}

export function createFaults(options: FaultOptions): Faults {
  const { scheduler, random, climate, network, processes, authority, epoch, onFault } = options;
  let over = false;

  /** Mostly shorter than a lease, sometimes longer than anybody waits. */
  const lengthMs = (): number => (random.chance(0.6) ? random.between(20, 700) : random.between(700, 4_000));
  const later = (run: () => void): void => void scheduler.after(lengthMs(), run);

  const aStore = (): StoreName =>
    climate.sparesAuthority ? (authority() === 'mongo' ? 'postgres' : 'mongo') : random.pick(STORES);

  interface Trap {
    readonly moment: Moment;
    readonly isIt: (call: Call) => boolean;
    readonly spring: () => void;
  }
  const traps = new Map<SimProcess, Trap>();
  /** Just then, and not before. */
  const catchAt = (moment: Moment, process: SimProcess, spring: () => void): void => {
    traps.set(process, { moment, spring, isIt: random.pick(CALLS) });
  };
  /** Until authority has moved without it; for want of that, for a few seconds. */
  const pauseLong = (process: SimProcess): void => {
    if (random.chance(0.3)) process.suspend();
    else process.pause();
    const began = epoch();
    const wakeAtMs = scheduler.now() + random.between(2_000, 6_000);
    const look = (): void => {
      if (over || epoch() > began || scheduler.now() >= wakeAtMs) {
        scheduler.after(random.between(0, 200), () => process.resume());
      } else scheduler.after(40, look);
    };
    look();
  };

  const onProcess: readonly (readonly [string, (process: SimProcess) => void])[] = [
    [
      'pause',
      (process) => {
        process.pause();
        later(() => process.resume());
      },
    ],
    [
      'suspend',
      (process) => {
        process.suspend();
        later(() => process.resume());
      },
    ],
    ['kill', (process) => process.kill()],
    ['pause before sending', (process) => catchAt('sending', process, () => pauseLong(process))],
    ['pause before the answer', (process) => catchAt('carried out', process, () => pauseLong(process))],
    ['kill before the answer', (process) => catchAt('carried out', process, () => process.kill())],
    ['clock set', (process) => process.shiftWall(random.between(-2_000, 2_000))],
    [
      'cut from a store',
      (process) => {
        if (climate.sparesStores) return process.kill();
        const store = random.pick(STORES);
        network.cut(process, store);
        later(() => network.mend(process, store));
      },
    ],
  ];
  const onStore: readonly (readonly [string, (store: StoreName) => void])[] = [
    [
      'freeze',
      (store) => {
        network.freeze(store);
        later(() => network.thaw(store));
      },
    ],
    [
      'stop',
      (store) => {
        network.stop(store);
        later(() => network.restart(store));
      },
    ],
  ];

  function strike(): void {
    const alive = processes().filter((process) => process.isRunning());
    if (climate.sparesAuthority || (!climate.sparesStores && (random.chance(0.35) || alive.length === 0))) {
      const [what, run] = random.pick(onStore);
      const store = aStore();
      onFault(`${what} ${store}`);
      run(store);
      return;
    }
    if (alive.length === 0) return;
    const [what, run] = random.pick(onProcess);
    onFault(what);
    run(random.pick(alive));
  }

  function goOn(): void {
    if (over || climate.faultEveryMs === null) return;
    scheduler.after(random.between(0.2, 1.8) * climate.faultEveryMs, goOn);
    strike();
  }

  return {
    start: goOn,
    onStep() {
      if (over || !random.chance(climate.faultAtStep)) return;
      scheduler.after(random.between(0, 30), () => {
        if (!over) strike();
      });
    },
    reached(moment, call) {
      const trap = traps.get(call.process);
      if (trap?.moment !== moment || over || !trap.isIt(call)) return;
      traps.delete(call.process);
      onFault(`caught ${moment}`);
      trap.spring();
    },
    end() {
      over = true;
      for (const store of STORES) {
        network.thaw(store);
        network.restart(store);
      }
      network.heal();
      for (const process of processes()) process.resume();
    },
  };
}
