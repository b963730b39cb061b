/**
 * The way between processes and the two stores. Each call is a request and a reply of its own, with seeded delays; it
 * may never arrive, arrive long after its sender gave up, or be carried out and its reply be lost.
 */
import { type StoreName, StoreUnavailable } from '../../../db/errors.ts';
import type { Repository, Store, WriteContext } from '../../../db/port.ts';
import type { Entity } from '../../../db/records.ts';
import type { MemoryStore } from '../../support/memory/store.ts';
import type { SimProcess } from './process.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface Weather {
  /** The usual way there or back, ms: from a tenth of it up to it. */
  readonly usualMs: number;
  /** How often, and up to how long, one takes much longer. */
  readonly slow: number;
  readonly slowMs: number;
  readonly requestLost: number;
  readonly replyLost: number;
  /** A request that lands only after its sender has given up. */
  readonly late: number;
  /** The request waits in its process first: for a connection, or because the process was stopped just then. */
  readonly held: number;
  readonly heldMs: number;
}

export const CALM: Weather = {
  usualMs: 2,
  slow: 0.02,
  slowMs: 15,
  requestLost: 0,
  replyLost: 0,
  late: 0,
  held: 0,
  heldMs: 0,
};

/** One call as the network saw it. */
export interface Call {
  readonly process: SimProcess;
  readonly store: StoreName;
  readonly name: string;
  readonly args: readonly unknown[];
  /** The epoch of its write context; null for calls besides the port. */
  readonly epoch: number | null;
}

/** What a message takes longer, ms, on each way; or it is turned away at once. */
export interface Extra {
  readonly thereMs: number;
  readonly backMs: number;
  readonly refused: boolean;
  /** It is on its way until it is let go. */
  readonly hold?: (letGo: () => void) => void;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly stores: Readonly<Record<StoreName, MemoryStore>>;
  /** The client's limit on a call, ms. */
  readonly timeoutMs: number;
  readonly weather: Weather;
  /** What this call takes longer than the weather has it; null: nothing. */
  readonly delay?: (call: Call) => Extra | null;
  /** Told at the moment at which a process sends a call: it may stop there, and send it when it goes on. */
  readonly onSend: (call: Call) => void;
  /** Told at the moment at which a store carries a call out. */
  readonly onLanded: (call: Call) => void;
  /** Told of a fault that made a difference to a call. */
  readonly onFault: (what: string) => void;
  /** Told of each thing that happens to a call. */
  readonly trace: (what: string, call: Call) => void;
}

export interface Network {
  /** The store as that process reaches it. */
  view(process: SimProcess, store: StoreName): Store;
  /** Nothing reaches the store, and nothing comes back; what arrives is carried out on `thaw`. */
  freeze(store: StoreName): void;
  thaw(store: StoreName): void;
  /** The store's process is gone: calls under way break off, and new ones are turned away. */
  stop(store: StoreName): void;
  restart(store: StoreName): void;
  /** Between these two every message vanishes, both ways. */
  cut(process: SimProcess, store: StoreName): void;
  mend(process: SimProcess, store: StoreName): void;
  /** Writes that are still on their way to a store. */
  underWay(): number;
  /** Ends all cuts and the bad weather. */
  heal(): void;
}

/** Reads leave no trace, whatever became of them. */
const isRead = (name: string): boolean =>
  /^(find|list|read|marks|countMarks|asides|scan|holdsUsers|leftBehind|toLeaveBehind|notes|countNotes|ping|describe|durability|sessionProblems|assurance)/.test(
    name,
  );

/** Operations of several writes: each store asks again before it goes on, or commits. */
const SEVERAL_WRITES = ['createAccount', 'changePassword', 'eraseUser', 'requestReset', 'openSession'];
/** The reserved connection's own limit. */
const ASSURANCE_MS = 250;

type Act = (...args: readonly unknown[]) => Promise<unknown>;

export function createNetwork(options: NetworkOptions): Network {
  const { scheduler, random, stores, timeoutMs, onSend, onLanded, onFault, trace } = options;
  const { delay = () => null } = options;
  let { weather } = options;
  const servers = {
    mongo: { state: 'up' as 'up' | 'frozen' | 'down', life: 0, queue: [] as (() => void)[] },
    postgres: { state: 'up' as 'up' | 'frozen' | 'down', life: 0, queue: [] as (() => void)[] },
  };
  const cuts = new Set<string>();
  let underWay = 0;
  const isCut = (call: Call) => cuts.has(`${call.process.name} ${call.store}`);

  const delayMs = (): number =>
    random.chance(weather.slow)
      ? random.between(weather.usualMs, weather.slowMs)
      : random.between(weather.usualMs / 10, weather.usualMs);

  /** Sends the call; `act` is run at the store, `done` in the process, whatever comes first. */
  function exchange(
    call: Call,
    act: () => Promise<unknown>,
    done: (error: unknown, value?: unknown) => void,
  ) {
    const { process, store, name } = call;
    const server = servers[store];
    // The rest of a turn in which its process was killed: nobody is there any more.
    if (!process.isAlive()) return;
    let settled = false;
    let sent = false;
    const extra = delay(call);
    const fail = (outcome: 'none' | 'unknown', reason: StoreUnavailable['reason']) =>
      new StoreUnavailable(store, isRead(name) ? 'none' : outcome, reason);
    const settle = (error: unknown, value?: unknown): void => {
      if (settled) return;
      settled = true;
      timeout.cancel();
      trace(error === undefined ? 'answered' : `failed: ${(error as Error).message}`, call);
      done(error, value);
    };
    const limitMs = name === 'assurance' ? ASSURANCE_MS : timeoutMs;
    const timeout = process.timer(limitMs, () => {
      onFault('timeout');
      // What never left the process will not leave it any more.
      settle(fail(sent ? 'unknown' : 'none', 'timeout'));
    });

    const reply = (error: unknown, value?: unknown) => {
      if (random.chance(weather.replyLost)) return onFault('reply lost');
      scheduler.after(delayMs() + (extra?.backMs ?? 0), () => {
        if (isCut(call)) return onFault('reply cut');
        process.deliver(() => settle(error, value));
      });
    };
    const land = (life: number) => {
      if (server.state === 'frozen') {
        onFault('frozen');
        server.queue.push(() => land(life));
        return;
      }
      if (server.state === 'down') {
        onFault('store down');
        return reply(fail('none', 'connect'));
      }
      if (server.life !== life) return reply(fail('unknown', 'connection-lost'));
      if (settled && process.isAlive()) onFault('landed late');
      onLanded(call);
      trace('lands', call);
      act().then(
        (value) => {
          // A store that stops right after a commit breaks the connection before its reply.
          if (server.life === life) reply(undefined, value);
        },
        (error: unknown) => reply(error),
      );
    };
    const send = () => {
      if (settled) return;
      sent = true;
      if (isCut(call)) return onFault('request cut');
      if (extra?.refused === true) {
        onFault('refused');
        return reply(fail('none', 'connect'));
      }
      if (random.chance(weather.requestLost)) return onFault('request lost');
      const { life } = server;
      const isCounted = !isRead(name) && name !== 'writeLease';
      if (isCounted) underWay += 1;
      const wayMs = random.chance(weather.late) ? timeoutMs * random.between(0.9, 1.4) : delayMs();
      const arrive = (): void => {
        if (isCounted) underWay -= 1;
        if (isCut(call)) onFault('request cut');
        else land(life);
      };
      if (extra?.hold === undefined) scheduler.after(wayMs + (extra?.thereMs ?? 0), arrive);
      else extra.hold(() => scheduler.after(wayMs, arrive));
    };
    onSend(call);
    if (random.chance(weather.held)) process.timer(random.between(0, weather.heldMs), send);
    else process.deliver(send);
  }

  function ask(call: Call, act: () => Promise<unknown>, onReply: () => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      exchange(call, act, (error, value) => {
        if (error !== undefined) return reject(error);
        onReply();
        resolve(value);
      });
    });
  }

  /** The same functions, each by way of the network. */
  function remote<T extends object>(process: SimProcess, store: StoreName, target: T): T {
    const entries = Object.entries(target).map(([name, act]: [string, Act]) => [
      name,
      (...args: readonly unknown[]) =>
        ask(
          { process, store, name, args, epoch: null },
          () => act(...args),
          () => {},
        ),
    ]);
    return Object.fromEntries(entries) as T;
  }

  /** The port under a context: what a write has to tell, it tells in the process, when the reply is there. */
  function repository(process: SimProcess, store: StoreName, context: WriteContext) {
    const { epoch, pending, onWrite, mayContinue = () => true } = context;
    const names = Object.keys(stores[store].at(context)) as (keyof Repository)[];
    const entries = names.map((name) => [
      name,
      async (...args: readonly unknown[]) => {
        const call = { process, store, name, args, epoch };
        if (SEVERAL_WRITES.includes(name)) {
          // The first statement's round trip; what the process then decides is on its way for as long again.
          await ask(
            { ...call, name: 'ping' },
            async () => {},
            () => {},
          );
          if (!mayContinue()) throw new StoreUnavailable(store, 'none', 'lease-lost');
        }
        const written: [Entity, string][] = [];
        const act = (): Promise<unknown> => {
          const there = stores[store].at({
            epoch,
            pending,
            onWrite: (entity, id) => void written.push([entity, id]),
          });
          return (there[name] as Act)(...args);
        };
        return ask(call, act, () => {
          for (const [entity, id] of written) onWrite?.(entity, id);
        });
      },
    ]);
    return Object.fromEntries(entries) as Repository;
  }

  return {
    view(process, name) {
      const store = stores[name];
      const {
        limits,
        replica,
        books,
        at: _,
        tables: __,
        decided: ___,
        name: ____,
        close: _____,
        poolUse,
        changes,
        ...rest
      } = store;
      return {
        ...remote(process, name, rest),
        name,
        close: async () => {},
        poolUse,
        changes,
        at: (context) => repository(process, name, context),
        limits: remote(process, name, limits),
        replica: remote(process, name, replica),
        books: remote(process, name, books),
      };
    },
    freeze(store) {
      if (servers[store].state === 'up') servers[store].state = 'frozen';
    },
    thaw(store) {
      const server = servers[store];
      if (server.state !== 'frozen') return;
      server.state = 'up';
      for (const land of server.queue.splice(0)) scheduler.after(random.between(0, 1), land);
    },
    stop(store) {
      servers[store].state = 'down';
      servers[store].life += 1;
      for (const land of servers[store].queue.splice(0)) land();
    },
    restart(store) {
      if (servers[store].state === 'down') servers[store].state = 'up';
    },
    cut: (process, store) => void cuts.add(`${process.name} ${store}`),
    mend: (process, store) => void cuts.delete(`${process.name} ${store}`),
    underWay: () => underWay,
    heal() {
      cuts.clear();
      weather = CALM;
    },
  };
}
