/**
 * One run: the real engine in several processes over two stores in memory, with clients, operators and faults, then
 * rest, then the verdict. Everything follows from the seed.
 */
import { createEngine, type Engine } from '../../../cutover/engine.ts';
import { authorityOf, type Mode, mirrorOf, otherStore } from '../../../cutover/mode.ts';
import type { Rules } from '../../../cutover/protocol/rules.ts';
import type { ControlRecord } from '../../../cutover/protocol/types.ts';
import { type Fields, SILENT, type Telemetry } from '../../../cutover/telemetry.ts';
import { STORES, type StoreName } from '../../../db/errors.ts';
import { ENTITIES } from '../../../db/records.ts';
import type { ControlEntry, Json } from '../../../db/replica.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory/store.ts';
import { createEpochs } from './checker/authority.ts';
import { judge, type Violation } from './checker/judge.ts';
import { type Climate, drawClimate } from './climate.ts';
import { createFaults } from './faults.ts';
import { createGoingBack, type GoingBack } from './going-back.ts';
import { createHistory } from './history.ts';
import { type Call, createNetwork } from './network.ts';
import { operate } from './operator.ts';
import { createProcess, EPOCH_MS, type SimProcess } from './process.ts';
import { createRandom } from './random.ts';
import { createScheduler } from './scheduler.ts';
import { createScript } from './script.ts';
import { drawShape, type Kind } from './shape.ts';
import { createWorkload } from './workload.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Default: long. */
  readonly kind?: Kind;
  readonly rules?: Rules;
  /** PostgreSQL goes back by a moment while it is the mirror; `told`: and says that it goes on another history. */
  readonly goesBack?: 'told' | 'untold';
  /** Keeps a line for everything that happens. */
  readonly traced?: boolean;
}

export interface Result {
  readonly seed: number;
  readonly kind: Kind;
  readonly climate: Climate['name'];
  readonly violations: readonly Violation[];
  readonly steps: number;
  /** Equal for equal runs, and hardly ever for others. */
  readonly fingerprint: number;
  /** How often each kind of thing happened. */
  readonly counts: ReadonlyMap<string, number>;
  readonly longestWaitMs: number;
  readonly trace: readonly string[];
}

const RETENTION_MS = 30 * 86_400_000;

export async function simulate({
  seed,
  kind = 'long',
  rules,
  goesBack,
  traced = false,
}: SimulationOptions): Promise<Result> {
  const random = createRandom(seed);
  const scheduler = createScheduler();
  const history = createHistory(scheduler.now);
  const epochs = createEpochs();
  const climate = drawClimate(kind, random);
  const shape = drawShape(kind, random);
  const { storeTimeoutMs } = shape;
  const firstMode = goesBack === undefined ? shape.firstMode : 'shadow-read';
  const within = ([min, max]: readonly [number, number]): number => random.between(min, max);
  const counts = new Map<string, number>();
  const trace: string[] = [];
  const bugs: string[] = [];
  let fingerprint = 0x811c9dc5;

  const count = (what: string, by = 1): void => void counts.set(what, (counts.get(what) ?? 0) + by);
  const say = (what: string): void => {
    if (traced) trace.push(`${scheduler.now().toFixed(2).padStart(9)} ${what}`);
  };
  function mix(text: string): void {
    for (let index = 0; index < text.length; index += 1) {
      fingerprint = Math.imul(fingerprint ^ text.charCodeAt(index), 0x01000193);
    }
    fingerprint = Math.imul(fingerprint ^ Math.floor(scheduler.now() * 1_000), 0x01000193);
  }

  const now = () => new Date(Math.floor(EPOCH_MS + scheduler.now()));
  const stores = {
    mongo: createMemoryStore({ name: 'mongo', now }),
    postgres: createMemoryStore({
      name: 'postgres',
      now,
      history: (): string | null => (goesBack === 'told' ? (goingBack?.history() ?? null) : null),
    }),
  };
  const first: ControlEntry = {
    epoch: 1,
    revision: 1,
    body: {
      mode: firstMode,
      transition: null,
      changedBy: null,
      copy:
        kind === 'first'
          ? { kind: 'none' }
          : {
              kind: 'complete',
              run: 'started-empty',
              completedAtMs: EPOCH_MS,
              verifiedAtMs: null,
              ...(goesBack === 'told' && { history: 'sim/1' }),
            },
      settings: shape.settings as Json,
    },
  };
  for (const store of Object.values(stores)) await store.books.createControl(first);
  epochs.written(authorityOf(firstMode), { mode: firstMode, epoch: 1 }, history.tick());

  /** That the mirror has gone back. */
  let noticed = false;
  let latest = { mode: firstMode, epoch: 1, revision: 1, inTransition: false };
  function onLanded(call: Call): void {
    mix(`${call.process.name} ${call.store} ${call.name}`);
    count(`call ${call.name}`);
    faults.reached('carried out', call);
    // Reads are also made for comparisons, elsewhere, and cannot be told from the ones that are answered.
    const isAnswer = !/^(find|list)/.test(call.name) || epochs.authorityOf(call.epoch ?? 0) === call.store;
    if (call.epoch !== null && isAnswer) {
      history.landed(call.process.name, call.name, call.args, { store: call.store, epoch: call.epoch });
    }
  }
  // `script` and `faults` work on the network, and so come after it; nothing is sent before they are there.
  const network = createNetwork({
    scheduler,
    random: random.fork(),
    stores,
    timeoutMs: storeTimeoutMs,
    weather: climate.weather,
    delay: (call) => script?.delay(call) ?? null,
    onSend: (call) => faults.reached('sending', call),
    onLanded,
    onFault: (what) => count(`network: ${what}`),
    trace: (what, { process, store, name, args, epoch }) => {
      if (traced) say(`${process.name} ${store}.${name} ${epoch ?? ''} ${what} ${brief(args)}`);
    },
  });
  // Whoever writes a control record, in whichever way: the store itself tells.
  for (const name of STORES) watchControl(name);

  function watchControl(name: StoreName): void {
    const { books } = stores[name];
    const { replaceControl } = books;
    Object.assign(books, {
      replaceControl: async (expected: { epoch: number; revision: number }, next: ControlEntry) => {
        const replaced = await replaceControl(expected, next);
        if (!replaced) return false;
        const { mode, transition, copy } = next.body as unknown as ControlRecord;
        if (name === 'mongo' && copy.kind !== 'complete') noticed = true;
        say(
          `CONTROL ${name}: ${JSON.stringify({ ...(next.body as object), settings: undefined, copy: undefined })} epoch ${next.epoch} revision ${next.revision}`,
        );
        epochs.written(name, { mode, epoch: next.epoch }, history.tick());
        if (next.epoch > latest.epoch || (next.epoch === latest.epoch && authorityOf(mode) === name)) {
          latest = { mode, epoch: next.epoch, revision: next.revision, inTransition: transition !== null };
        }
        return true;
      },
    });
  }

  let longestWaitS = 0;
  const telemetry = (process: SimProcess): Telemetry => {
    const line = (level: string) => (fields: Fields, message: string) => {
      if (traced) say(`${process.name} ${level}: ${message} ${brief(fields)}`);
    };
    return {
      ...SILENT,
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error(fields, message) {
        line('error')(fields, message);
        count(`error: ${message}`);
      },
      count(name, labels, by = 1) {
        count([name, ...Object.values(labels)].join(' '), by);
      },
      observe(name, _labels, seconds) {
        if (name === 'cutover_pause_duration_seconds') {
          count('waited at a fence or for a lease');
          if (seconds > longestWaitS) longestWaitS = seconds;
        }
      },
    };
  };

  // The instances.
  interface Instance {
    readonly process: SimProcess;
    readonly engine: Engine;
    readonly repository: Engine['repository'];
    open: boolean;
  }
  const instances: Instance[] = [];
  const processes: SimProcess[] = [];
  let born = 0;
  let resting = false;

  function newProcess(role: string): SimProcess {
    born += 1;
    const process = createProcess({
      name: `${role}${born}`,
      scheduler,
      random: random.fork(),
      rate: 1 + random.between(-climate.clockDrift, climate.clockDrift),
      wallOffMs: random.between(-climate.clockOffMs, climate.clockOffMs),
    });
    processes.push(process);
    process.onKill(() => processes.splice(processes.indexOf(process), 1));
    return process;
  }

  const views = (process: SimProcess) => ({
    mongo: network.view(process, 'mongo'),
    postgres: network.view(process, 'postgres'),
  });

  function newInstance(): SimProcess {
    const process = newProcess('instance');
    const engine = createEngine({
      stores: views(process),
      environment: process.environment,
      telemetry: telemetry(process),
      firstMode,
      retentionMs: RETENTION_MS,
      storeTimeoutMs,
      digestKey: new Uint8Array(32),
      ...(rules && { rules }),
    });
    const instance: Instance = {
      process,
      engine,
      repository: history.recording(process, engine.repository),
      open: false,
    };
    instances.push(instance);
    say(`${process.name} starts`);
    process.onKill(() => {
      say(`${process.name} killed`);
      remove(instance);
      scheduler.after(kind === 'long' ? random.between(50, 800) : random.between(0, 100), newInstance);
    });
    const ready = () => {
      instance.open = true;
    };
    engine.start().then(ready, (error: unknown) => bugs.push(`start: ${String(error)}`));
    return process;
  }
  function remove(instance: Instance): void {
    const index = instances.indexOf(instance);
    if (index >= 0) instances.splice(index, 1);
  }
  /** SIGTERM, after the proxy has dropped it, and a new one in its place. */
  function replaceOne(): void {
    if (resting) return;
    scheduler.after(random.between(1_500, 4_000), replaceOne);
    const old = instances.find(
      ({ engine, process }) => process.isRunning() && engine.status().standing === 'serving',
    );
    if (old === undefined || instances.filter(({ open }) => open).length < 2) return;
    newInstance();
    scheduler.after(200, () => {
      old.open = false;
      scheduler.after(400, () => {
        remove(old);
        old.process.deliver(() => {
          old.engine.stop(500).then(
            () => {
              say(`${old.process.name} stopped`);
              count('instances replaced');
              const index = processes.indexOf(old.process);
              if (index >= 0) processes.splice(index, 1);
            },
            (error: unknown) => bugs.push(`stop: ${String(error)}`),
          );
        });
      });
    });
  }

  // The clients.
  const workload = createWorkload(random.fork(), shape.hashMs);
  const clientRandom = random.fork();
  let asking = 0;
  function client() {
    if (resting) return;
    const next = (): void => void scheduler.after(clientRandom.between(...shape.thinkMs), client);
    const open = instances.filter((instance) => instance.open);
    if (open.length === 0) return next();
    const { process, repository } = clientRandom.pick(open);
    let over = false;
    asking += 1;
    const done = (): void => {
      if (over) return;
      over = true;
      asking -= 1;
      giveUp.cancel();
      next();
    };
    const giveUp = scheduler.after(3_000, done);
    process.onKill(done);
    scheduler.after(clientRandom.between(0.1, 1), () =>
      process.deliver(
        () => void workload.request({ repository, environment: process.environment }).then(done),
      ),
    );
  }

  // The operators.
  const operatorRandom = random.fork();
  let moves = 0;
  function newOperator(): void {
    if (resting) return;
    const process = newProcess('operator');
    say(`${process.name} starts`);
    process.onKill(() => {
      say(`${process.name} killed`);
      scheduler.after(operatorRandom.between(50, 1_000), newOperator);
    });
    const wild = climate.name === 'wild' || climate.name === 'stalling';
    void operate({
      process,
      stores: views(process),
      telemetry: telemetry(process),
      random: operatorRandom,
      ...(rules && { rules }),
      mode: () => latest.mode,
      hesitateMs: shape.hesitateMs,
      isOver: () => moves >= shape.movesMax,
      killedAtStep: wild ? 0.02 : 0,
      stalledAtStep: kind === 'first' ? 0.15 : wild ? 0.02 : 0,
      avoids: avoided(),
      keepsAuthority: climate.name === 'mirror trouble',
      onStall(stalled) {
        scheduler.after(operatorRandom.between(100, 4_000), () => stalled.resume());
        scheduler.after(operatorRandom.between(50, 1_500), newOperator);
      },
      onMoved(result) {
        count(`move ${result.kind}`);
        moves += 1;
        say(`${process.name} move: ${brief(result)}`);
        for (const reason of result.reasons)
          count(`move ${result.kind}: ${reason.replace(/\b[0-9a-f]{24}\b/g, 'ID')}`);
        if ('failing' in result)
          for (const { name } of result.failing) count(`move ${result.kind}: gate ${name}`);
      },
      onStep(what, step) {
        count(what);
        script?.onStep(process, step);
        goingBack?.onStep(step);
        faults.onStep();
      },
    });
  }

  function avoided(): readonly Mode[] {
    if (kind === 'short') return ['mongo-only', 'dual-write', 'postgres-only'];
    if (kind === 'first') return ['postgres-primary', 'postgres-only'];
    return scheduler.now() < shape.busyMs * 0.8 || operatorRandom.chance(0.7)
      ? ['mongo-only', 'postgres-only']
      : [];
  }

  const onFault = (what: string): void => {
    count(`fault: ${what}`);
    say(`FAULT ${what}`);
  };
  const instanceProcesses = () => processes.filter(({ name }) => name.startsWith('instance'));
  const script =
    kind === 'short'
      ? createScript({
          scheduler,
          random: random.fork(),
          network,
          storeTimeoutMs,
          instances: instanceProcesses,
          calm: climate.failsNone,
          newInstance,
          newOperator,
          onFault,
        })
      : null;
  const faults =
    script === null
      ? createFaults({
          scheduler,
          random: random.fork(),
          climate,
          network,
          processes: instanceProcesses,
          authority: () => authorityOf(latest.mode),
          epoch: () => latest.epoch,
          onFault,
        })
      : { ...script, onStep: () => {} };

  const goingBack: GoingBack | null =
    goesBack === undefined
      ? null
      : createGoingBack({
          scheduler,
          random: random.fork(),
          store: stores.postgres,
          mayGo: () => authorityOf(latest.mode) === 'mongo' && !latest.inTransition && !resting,
          onGone: onFault,
        });

  for (let index = 0; index < shape.accounts; index += 1) {
    const before = newProcess('before');
    const environment = { ...before.environment, date: () => new Date(EPOCH_MS - 3_600_000) };
    const store = stores[authorityOf(firstMode)];
    const repository = history.recording(before, store.at({ epoch: 1, pending: false }));
    await workload.begin({ repository, environment });
    before.kill();
  }
  if (shape.accounts > 0)
    await copyAll(stores[authorityOf(firstMode)], stores[otherStore(authorityOf(firstMode))]);

  for (let index = 0; index < shape.instances; index += 1) {
    scheduler.after(within(shape.instanceStartMs), newInstance);
  }
  for (let index = 0; index < shape.clients; index += 1) scheduler.after(within(shape.clientStartMs), client);
  scheduler.after(within(shape.operatorStartMs), newOperator);
  if (script === null) scheduler.after(600, faults.start);
  else script.start();
  if (climate.name === 'calm') scheduler.after(1_000, replaceOne);
  const isEnough = () => moves >= shape.movesMax && (script === null || script.asleep() === 0);
  const busyMs = () => shape.busyMs + (script?.longerMs() ?? 0);
  while (scheduler.now() < busyMs() && !isEnough()) {
    await scheduler.runUntil(Math.min(busyMs(), scheduler.now() + 50));
  }

  resting = true;
  say('REST');
  faults.end();
  const operating = () => processes.some(({ name }) => name.startsWith('operator'));
  /** Nobody works any more, nothing is on its way, everybody follows the same, and nothing is left to be mirrored. */
  const isAtRest = (): boolean => {
    if (goesBack === 'told' && goingBack?.isGone() === true && !noticed) return false;
    if (asking > 0 || operating() || latest.inTransition || network.underWay() > 0) return false;
    const follows = ({ engine, process }: Instance) =>
      process.isRunning() &&
      engine.status().revision === latest.revision &&
      engine.status().standing === 'serving';
    if (instances.length === 0 || !instances.every(follows)) return false;
    const held = Object.values(stores).flatMap(({ tables }) => Object.values(tables));
    const marked = held.some((table) => [...table.values()].some(({ pendingAt }) => pendingAt !== null));
    return !marked || mirrorOf(latest.mode) === null;
  };
  await scheduler.runUntil(scheduler.now() + shape.restMinMs);
  // What an operator leaves half done, the instances finish or take back.
  for (const process of [...processes]) if (process.name.startsWith('operator')) process.kill();
  const restedMs = scheduler.now();
  // Once more after a slice: replies still come, and what only they make clear.
  for (let rested = 0; rested < 2 && scheduler.now() < restedMs + shape.restMaxMs; ) {
    rested = isAtRest() ? rested + 1 : 0;
    if (rested < 2) await scheduler.runUntil(scheduler.now() + shape.restSliceMs);
  }

  const authority = authorityOf(latest.mode);
  const violations = [
    ...judge({
      entries: history.entries,
      epochs,
      expiredBefore: new Date(now().getTime() - RETENTION_MS),
      authority: stores[authority],
      other: stores[otherStore(authority)],
      mirrored: mirrorOf(latest.mode) !== null && (await isComplete()),
    }),
    ...[...bugs, ...workload.bugs].map((what) => ({ rule: 'bug', what, entry: null })),
  ];
  if (climate.failsNone && workload.failures() > 0) {
    const failed = [...workload.counts].filter(([what]) => / (503|StaleWrite)/.test(what));
    violations.push({
      rule: 'client noticed',
      what: `${climate.name}: ${JSON.stringify(failed)}`,
      entry: null,
    });
  }
  for (const { engine, process } of instances) {
    const { standing, problem } = engine.status();
    if (standing !== 'serving') {
      violations.push({
        rule: 'stuck',
        what: `${process.name} is ${standing} at rest (${problem})`,
        entry: null,
      });
    }
  }

  async function isComplete(): Promise<boolean> {
    const entry = await stores[authority].books.readControl();
    const body = entry?.body as { copy?: { kind: string } } | undefined;
    return body?.copy?.kind === 'complete';
  }

  for (const [what, times] of workload.counts) count(`request ${what}`, times);
  for (const { name, outcome } of history.entries) count(`port ${name} ${outcome}`);
  count('changes of authority', epochs.count());
  count(`climate ${climate.name}`);
  count('port operations', history.entries.length);
  return {
    seed,
    kind,
    climate: climate.name,
    violations,
    steps: scheduler.steps(),
    fingerprint: fingerprint >>> 0,
    counts,
    longestWaitMs: longestWaitS * 1_000,
    trace,
  };
}

/** As a copy that was completed before. */
async function copyAll(from: MemoryStore, to: MemoryStore): Promise<void> {
  for (const entity of ENTITIES) {
    const { records } = await from.replica.scan(entity, { after: null, limit: 1_000 });
    await to.replica.apply(entity, records, { epoch: 1, expiredBefore: new Date(0) });
  }
}

function brief(value: unknown): string {
  const seen = JSON.stringify(value, (_key, each: unknown) =>
    each instanceof Error
      ? `${each.name}: ${each.message}`
      : each instanceof Set || each instanceof Map
        ? [...each]
        : each,
  );
  return seen === undefined ? '' : seen.length > 300 ? `${seen.slice(0, 300)}…` : seen;
}
