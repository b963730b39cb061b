/**
 * People who sign up, look, refresh, log out and change their passwords, at times that no answer puts off: an open loop.
 * Every operation is kept for the checker.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createHttpClient } from '../torture/clients/http.ts';
import { createPerson, type Person } from '../torture/clients/person.ts';
import { createTurns } from '../torture/clients/turns.ts';
import { createRecorder, type Recorder } from '../torture/history/recorder.ts';
import type { Random } from '../torture/random.ts';
import { LEEWAY_MS } from '../torture/system/environment.ts';
import type { TokenInbox } from '../torture/system/inbox.ts';

export interface TrafficOptions {
  readonly url: string;
  readonly inbox: TokenInbox;
  readonly random: Random;
  /** Arrivals each second. */
  readonly rate: number;
}

export interface Counts {
  readonly ok: number;
  /** Answered with a code that says why not, such as 401 after a logout: the checker judges whether rightly. */
  readonly refused: number;
  /** 503, any other 5xx, a reset, no answer. */
  readonly failed: number;
}

export interface Traffic {
  readonly recorder: Recorder;
  readonly people: readonly Person[];
  counts(): Counts;
  /** In the last seconds: answers each second, and how long they took, ms. */
  recent(): { readonly perSecond: number; readonly p50Ms: number; readonly p99Ms: number };
  /** What went wrong, in words. */
  readonly problems: readonly string[];
  /** Told of the first few. */
  onProblem(listener: (problem: string) => void): void;
  /** Nobody comes any more; resolves when everything under way is answered. */
  stop(): Promise<void>;
  /** After `stop`: everybody presents once more what they hold. */
  lookAround(): Promise<void>;
  close(): void;
}

const PEOPLE = 30;
const FIRST_PEOPLE = 5;
/** While there are fewer people than that, one more each second: a signup is dear. */
const NEWCOMER_EVERY_MS = 1_000;
const TIMEOUT_MS = 30_000;
const RECENT_MS = 5_000;
const TOLD_MAX = 5;
/** What hashes passwords is as rare among the rest as on a real site. */
const ACTS = {
  me: 90,
  refresh: 50,
  list: 24,
  logout: 3,
  login: 3,
  verify: 4,
  forgot: 2,
  reset: 1,
  change: 1,
};
type Act = keyof typeof ACTS;
const DRAWN = Object.entries(ACTS).flatMap(([act, weight]) => Array<Act>(weight).fill(act as Act));

interface Lane {
  readonly person: Person;
  readonly random: Random;
  busy: boolean;
}

/** Resolves when the first few have signed up and the stream begins. */
export async function startTraffic({ url, inbox, random, rate }: TrafficOptions): Promise<Traffic> {
  const recorder = createRecorder();
  const http = createHttpClient(TIMEOUT_MS);
  const problems: string[] = [];
  const listeners: ((problem: string) => void)[] = [];
  const lanes: Lane[] = [];
  const underWay = new Set<Promise<void>>();
  const counts = { ok: 0, refused: 0, failed: 0 };
  let latest: { readonly atMs: number; readonly tookMs: number }[] = [];
  let cameMs = performance.now();
  let stopping = false;

  function note(problem: string): void {
    problems.push(problem);
    if (problems.length <= TOLD_MAX) for (const listener of listeners) listener(problem);
  }

  recorder.onEnd(({ id, call, invokedMs, completedMs, outcome }) => {
    const { kind } = outcome;
    if (kind === 'ok' || kind === 'refused') counts[kind] += 1;
    else {
      counts.failed += 1;
      note(`${call.kind} (operation ${id}): ${outcome.reason}`);
    }
    const atMs = performance.now();
    latest.push({ atMs, tookMs: (completedMs ?? atMs) - invokedMs });
    if (latest.length > 2 * RECENT_MS) latest = latest.filter((each) => atMs - each.atMs < RECENT_MS);
  });

  function newcomer(): Lane {
    const own = random.fork(lanes.length);
    const world = {
      http,
      recorder,
      inbox,
      random: own,
      targets: [{ name: 'the proxy', url }],
      leewayMs: LEEWAY_MS,
      hashing: createTurns(Number.POSITIVE_INFINITY),
      report: note,
    };
    const person = createPerson(world, `person-${lanes.length + 1}@example.test`);
    const lane = { person, random: own, busy: false };
    lanes.push(lane);
    return lane;
  }

  function track(work: Promise<unknown>): Promise<void> {
    const acting = work.then(() => void underWay.delete(acting));
    underWay.add(acting);
    return acting;
  }

  async function occupy(lane: Lane, work: () => Promise<unknown>): Promise<void> {
    lane.busy = true;
    await work();
    lane.busy = false;
  }

  function arrive(): void {
    if (lanes.length < PEOPLE && performance.now() - cameMs >= NEWCOMER_EVERY_MS) {
      cameMs = performance.now();
      const lane = newcomer();
      void track(occupy(lane, lane.person.acts.signup));
      return;
    }
    const free = lanes.filter(({ busy }) => !busy);
    // Everybody waits for an answer: one of them opens a second window.
    if (free.length === 0) {
      const { acts, alive } = random.pick(lanes.filter(({ person }) => person.sessions.length > 0)).person;
      void track(acts.me(alive()[0]));
      return;
    }
    const lane = random.pick(free);
    void track(occupy(lane, () => actOf(lane)));
  }

  async function actOf({ person, random: own }: Lane): Promise<unknown> {
    const { acts, sessions, alive } = person;
    if (sessions.length === 0) return acts.signup();
    return alive().length === 0 ? acts.login() : acts[own.pick(DRAWN)]();
  }

  async function keepComing(): Promise<void> {
    const startMs = performance.now();
    for (let due = 0; !stopping; ) {
      const elapsed = performance.now() - startMs;
      for (; (due * 1_000) / rate <= elapsed; due += 1) arrive();
      await sleep(5);
    }
  }
  for (let first = 0; first < FIRST_PEOPLE; first += 1) {
    const lane = newcomer();
    await occupy(lane, lane.person.acts.signup);
  }
  const coming = keepComing();

  return {
    recorder,
    get people() {
      return lanes.map(({ person }) => person);
    },
    counts: () => ({ ...counts }),
    recent() {
      const nowMs = performance.now();
      const within = latest.filter(({ atMs }) => nowMs - atMs < RECENT_MS);
      const took = within.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
      const at = (share: number): number => took[Math.floor(took.length * share)] ?? 0;
      return { perSecond: (within.length * 1_000) / RECENT_MS, p50Ms: at(0.5), p99Ms: at(0.99) };
    },
    problems,
    onProblem: (listener) => void listeners.push(listener),
    async stop() {
      stopping = true;
      await coming;
      await Promise.all(underWay);
    },
    async lookAround() {
      const queue = lanes.map(({ person }) => person);
      const worker = async (): Promise<void> => {
        for (let person = queue.pop(); person !== undefined; person = queue.pop()) {
          for (const session of person.sessions) await person.acts.me(session);
          for (const session of person.alive()) await person.acts.refresh(session);
          await person.acts.login();
        }
      };
      await Promise.all([worker(), worker()]);
    },
    close: () => http.close(),
  };
}
