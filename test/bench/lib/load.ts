/** The two kinds of load: as fast as answers come (closed loop), and at times fixed beforehand (open loop). */
import { type Flow, isGood, type Person } from './flows.ts';
import { type Connection, openConnection } from './http.ts';

export interface LoadResult {
  /** When good answers came, ms on this process's clock. */
  readonly endedMs: readonly number[];
  /** Of the good answers: from sending, or in an open loop from the scheduled time. */
  readonly latenciesMs: readonly number[];
  /** What each of them answered. */
  readonly flows: readonly Flow[];
  /** Good answers in all, those outside the window included. */
  readonly answered: number;
  readonly failed: number;
  /** The first bad answer, for an error message. */
  readonly failure: string | null;
}

export interface Target {
  readonly port: number;
  /** What this person asks for next. */
  readonly next: (person: Person) => Flow;
  readonly people: readonly Person[];
  readonly connections: number;
}

const now = (): number => performance.now();

interface Client {
  readonly connection: Connection;
  /** A person belongs to one client, so that no two requests use the same refresh token. */
  readonly people: readonly Person[];
  turn: number;
}

interface Tally {
  endedMs: number[];
  latenciesMs: number[];
  flows: Flow[];
  failed: number;
  failure: string | null;
}

const newTally = (): Tally => ({ endedMs: [], latenciesMs: [], flows: [], failed: 0, failure: null });

async function openClients({ port, people, connections }: Target): Promise<readonly Client[]> {
  const count = Math.min(connections, people.length);
  return Promise.all(
    Array.from({ length: count }, async (_, index) => ({
      connection: await openConnection(port),
      people: people.filter((_person, place) => place % count === index),
      turn: 0,
    })),
  );
}

async function ask(
  { connection, people }: Client,
  turn: number,
  next: Target['next'],
  sinceMs: number,
  tally: Tally,
) {
  const person = people[turn % people.length];
  if (person === undefined) throw new Error('a client without people');
  const flow = next(person);
  const reply = await connection.send(flow.request(person));
  if (isGood(flow, person, reply)) {
    flow.learn(person, reply);
    const endMs = now();
    tally.endedMs.push(endMs);
    tally.latenciesMs.push(endMs - sinceMs);
    tally.flows.push(flow);
    return;
  }
  tally.failed += 1;
  tally.failure ??= `${reply.status} ${reply.body.slice(0, 300)}`;
}

/** Each client sends its next request when its last is answered; counts what ends after the warm-up. */
export async function closedLoop(target: Target, warmUpMs: number, windowMs: number): Promise<LoadResult> {
  const clients = await openClients(target);
  const startMs = now() + warmUpMs;
  const endMs = startMs + windowMs;
  const warmUp = newTally();
  const counted = newTally();
  const run = async (client: Client): Promise<void> => {
    for (let sinceMs = now(); sinceMs < endMs; sinceMs = now()) {
      // What ends after the window is answered, for the next window finds its sessions, but not counted.
      const tally = sinceMs < startMs ? warmUp : counted;
      await ask(client, client.turn++, target.next, sinceMs, tally);
    }
  };
  try {
    await Promise.all(clients.map(run));
  } finally {
    for (const { connection } of clients) connection.close();
  }
  return within([warmUp, counted], startMs, endMs);
}

function within(tallies: readonly Tally[], startMs: number, endMs: number): LoadResult {
  const ends = tallies.flatMap((tally) => tally.endedMs);
  const latencies = tallies.flatMap((tally) => tally.latenciesMs);
  const flows = tallies.flatMap((tally) => tally.flows);
  const inside = ends.map((end) => end >= startMs && end < endMs);
  return {
    endedMs: ends.filter((_, index) => inside[index]),
    latenciesMs: latencies.filter((_, index) => inside[index]),
    flows: flows.filter((_, index) => inside[index]),
    answered: ends.length,
    failed: tallies.reduce((total, tally) => total + tally.failed, 0),
    failure: tallies.find((tally) => tally.failure !== null)?.failure ?? null,
  };
}

/** Each person once, as fast as the clients can: for seeding. */
export async function once(target: Target): Promise<LoadResult> {
  const clients = await openClients(target);
  const tally = newTally();
  try {
    await Promise.all(
      clients.map(async (client) => {
        for (const turn of client.people.keys()) await ask(client, turn, target.next, now(), tally);
      }),
    );
  } finally {
    for (const { connection } of clients) connection.close();
  }
  return { ...tally, answered: tally.endedMs.length };
}

/**
 * Requests arrive at random times that were fixed beforehand (a Poisson process on a grid of 1 ms), whatever the
 * answers do; one that finds every client busy waits, and its latency counts from its scheduled time all the same.
 * `signal` ends it before its time.
 */
export async function openLoop(
  target: Target,
  ratePerSecond: number,
  warmUpMs: number,
  windowMs: number,
  signal?: AbortSignal,
): Promise<LoadResult> {
  const clients = await openClients(target);
  const arrivals = schedule(ratePerSecond, warmUpMs + windowMs);
  const warmUp = newTally();
  const counted = newTally();
  const free = [...clients];
  const waiting: number[] = [];
  const startMs = now();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let underWay = 0;
  let next = 0;
  const isOver = (): boolean => next >= arrivals.length || signal?.aborted === true;
  const serve = (): void => {
    while (free.length > 0 && waiting.length > 0) {
      const client = free.shift();
      const dueMs = waiting.shift();
      if (client === undefined || dueMs === undefined) return;
      const tally = dueMs < startMs + warmUpMs ? warmUp : counted;
      underWay += 1;
      ask(client, client.turn++, target.next, dueMs, tally).then(() => {
        underWay -= 1;
        free.push(client);
        serve();
      }, reject);
    }
  };
  const timer = setInterval(() => {
    const elapsedMs = now() - startMs;
    for (; !isOver() && (arrivals[next] ?? Number.POSITIVE_INFINITY) <= elapsedMs; next++) {
      waiting.push(startMs + (arrivals[next] ?? 0));
    }
    serve();
    if (isOver() && underWay + waiting.length === 0) resolve();
  }, 1);
  try {
    await promise;
  } finally {
    clearInterval(timer);
    for (const { connection } of clients) connection.close();
  }
  return {
    ...counted,
    answered: counted.endedMs.length + warmUp.endedMs.length,
    failed: counted.failed + warmUp.failed,
    failure: counted.failure ?? warmUp.failure,
  };
}

/** Arrival times from 0, ms, with exponential gaps. */
function schedule(ratePerSecond: number, lengthMs: number): readonly number[] {
  const times: number[] = [];
  const gap = (): number => (-Math.log(1 - Math.random()) * 1000) / ratePerSecond;
  for (let at = gap(); at < lengthMs; at += gap()) times.push(Math.floor(at));
  return times;
}
