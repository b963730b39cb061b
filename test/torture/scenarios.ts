/**
 * Short directed runs, each made so that a certain mistake must show: two instances, a handful of people, and the very
 * fault that the mistake needs. Without a seeded bug every one of them holds.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import mongoose from 'mongoose';
import type { Mode } from '../../cutover/mode.ts';
import { isMongoWrite } from '../support/wire.ts';
import { type Bug, LATE_MS } from './bugs.ts';
import { check } from './checker/checker.ts';
import { createHttpClient } from './clients/http.ts';
import { createPerson, type Person } from './clients/person.ts';
import { createTurns } from './clients/turns.ts';
import { judgeRest } from './final/rest.ts';
import { type Operator, openOperator } from './flips/inline.ts';
import { createRecorder, type Recorder } from './history/recorder.ts';
import { createRandom } from './random.ts';
import { LEEWAY_MS, type ServiceEnv } from './system/environment.ts';
import type { Place } from './system/instances.ts';
import { openSystem, type Servers, type System } from './system/system.ts';

interface Stage {
  readonly system: System;
  readonly operator: Operator;
  readonly recorder: Recorder;
  /** Somebody whose requests go to any of these instances, and `at` changes that. */
  person(places: readonly string[]): Person & { at(places: readonly string[]): void };
  /** What the checker finds by now. */
  findings(): readonly string[];
  /** How often a scenario that depends on chance may be played until it shows something: once where nothing is wrong. */
  readonly tries: number;
}

export interface Scenario {
  readonly firstMode: Mode;
  readonly env: ServiceEnv;
  readonly instances: number;
  /** Over `SETTINGS`. */
  readonly settings: Readonly<Record<string, string>>;
  /** What does not hold. */
  play(stage: Stage): Promise<readonly string[]>;
}

/** Leases short enough to be waited out in a second. */
const SETTINGS = {
  'heartbeat-ms': '100',
  'poll-ms': '100',
  'lease-ms': '1000',
  'margin-ms': '200',
  'deadline-ms': '8000',
  'fence-max-ms': '4000',
  'flip-attempts': '5',
  'gate-primary-comparisons': '0',
  'shadow-sample': '0',
};
const REST_MS = 4_000;
const HELD_PEOPLE = 10;
const TRIES_MAX = 4;

/** Writes that follow one another closely at different instances, then rest. */
const closeWrites: Scenario = {
  firstMode: 'dual-write',
  env: {},
  instances: 2,
  settings: {},
  async play({ system, person, findings }) {
    for (let round = 0; round < 3; round += 1) {
      const ada = person(['a']);
      await ada.acts.signup();
      // The first instance's mirror has begun, and is not done if it is late.
      await sleep(LATE_MS / 4);
      ada.at(['b']);
      await ada.acts.logout();
    }
    await sleep(2 * LATE_MS);
    return [...findings(), ...(await judgeRest(system, REST_MS)).findings];
  },
};

/** Writes are held on their way to MongoDB; their instance loses its lease, authority moves, and then they land. */
const heldAcrossAFlip: Scenario = {
  firstMode: 'shadow-read',
  env: { STORE_TIMEOUT: '20s' },
  instances: 2,
  settings: { 'lease-ms': '3000' },
  async play({ system, operator, person, findings, tries }) {
    const people = Array.from({ length: HELD_PEOPLE }, () => person(['a']));
    await Promise.all(people.map(({ acts }) => acts.signup()));
    for (let round = 1; ; round += 1) {
      await holdAcross(system, operator, people);
      const problems = [...findings(), ...(await judgeRest(system, REST_MS)).findings];
      // Which statements are on their way just then is chance.
      if (problems.length > 0 || round >= tries) return problems;
      await must(operator.move('postgres-primary', 'shadow-read'));
    }
  },
};

async function holdAcross(system: System, operator: Operator, people: readonly Person[]): Promise<void> {
  const proxy = system.proxy('a', 'mongo');
  await Promise.all(people.map(({ acts, alive }) => (alive().length === 0 ? acts.login() : null)));
  // Most of an operation's time is then spent on the way, and a quarter of that by its write to the server.
  proxy.delay(200);
  let going = true;
  const loops = people.map(async ({ acts, alive }) => {
    while (going && alive().length > 0) await acts.refresh(alive()[0]);
  });
  await sleep(1_200);
  proxy.freeze();
  await sleep(100);
  going = false;
  try {
    await must(operator.move('shadow-read', 'postgres-primary'));
  } finally {
    proxy.heal();
  }
  await Promise.all(loops);
  // Half of them go on; what the others left behind nobody writes over.
  for (const { acts, sessions } of people.slice(0, HELD_PEOPLE / 2)) {
    for (const session of sessions) await acts.refresh(session);
  }
}

async function must(moving: Promise<string | null>): Promise<void> {
  const refused = await moving;
  if (refused !== null) throw new Error(`authority did not move: ${refused}`);
}

/** Authority goes back and forth between instances that are slow to hear of it. */
const slowToHear: Scenario = {
  firstMode: 'shadow-read',
  env: {},
  instances: 2,
  settings: {
    'heartbeat-ms': '400',
    'poll-ms': '400',
    'fast-poll-ms': '400',
    'lease-ms': '4000',
    'fence-max-ms': '6000',
    'deadline-ms': '10000',
  },
  async play({ system, operator, person, findings, tries }) {
    const people = Array.from({ length: 3 }, () => person(['a', 'b']));
    await Promise.all(people.map(({ acts }) => acts.signup()));
    let going = true;
    const loops = people.map(async ({ acts, alive }, index) => {
      const random = createRandom(index);
      while (going && alive().length > 0) {
        await acts.refresh(alive()[0]);
        await sleep(random.int(0, 150));
      }
    });
    let mode: Mode = 'shadow-read';
    for (let flips = 0; flips < 2 * tries && findings().length === 0; flips += 1) {
      const to: Mode = mode === 'shadow-read' ? 'postgres-primary' : 'shadow-read';
      if ((await operator.move(mode, to)) === null) mode = to;
      await sleep(300);
    }
    going = false;
    await Promise.all(loops);
    return [...findings(), ...(await judgeRest(system, REST_MS)).findings];
  },
};

/** A password change commits, and its reply is lost. */
const lostReply: Scenario = {
  firstMode: 'mongo-only',
  env: {},
  instances: 1,
  settings: {},
  async play({ system, person, findings }) {
    const ada = person(['a']);
    await ada.acts.signup();
    const lost = system
      .proxy('a', 'mongo')
      .loseNextReplyAfterCommit((sent) => isMongoWrite(sent) && sent.includes('$2b$'));
    await ada.acts.change();
    if (!(await lost)) throw new Error('no reply was lost');
    // The old one first; whoever was told that nothing has changed expects it to work.
    for (let tries = 0; tries < 3 && (await ada.acts.login()) === null; tries += 1);
    return findings();
  },
};

/** A reset token of the old service, in clear text, and then a newer one. */
const legacyToken: Scenario = {
  firstMode: 'mongo-only',
  env: {},
  instances: 1,
  settings: {},
  async play({ system, person, recorder, findings }) {
    const ada = person(['a']);
    await ada.acts.signup();
    const [session] = ada.sessions;
    if (session === undefined) throw new Error('nobody signed up');
    const clear = createHash('sha256').update(ada.email).digest('base64url');
    const { id } = await recorder.record(ada.email, { kind: 'forgot' }, 'the old service', async () => {
      await addLegacyToken(system.stores.mongo.url, ada.email, clear);
      return { kind: 'answer', status: 202, body: {} };
    });
    await ada.acts.forgot();
    await ada.acts.reset({ token: clear, requests: [id] });
    return findings();
  },
};

async function addLegacyToken(url: string, email: string, token: string): Promise<void> {
  const client = new mongoose.mongo.MongoClient(url, { directConnection: true });
  try {
    const user = await client.db().collection('users').findOne({ email });
    if (user === null) throw new Error('no such user');
    const createdAt = new Date();
    const expiresAt = new Date(createdAt.getTime() + 3_600_000);
    await client
      .db()
      .collection('password_reset_tokens')
      .insertOne({ userId: user._id, token, expiresAt, createdAt });
  } finally {
    await client.close();
  }
}

export const SCENARIOS = { closeWrites, heldAcrossAFlip, slowToHear, lostReply, legacyToken };

/** Where each bug must show. */
export const SHOWN_BY: Readonly<Record<Bug, keyof typeof SCENARIOS>> = {
  'mirror-dropped': 'closeWrites',
  'stamp-guard-removed': 'closeWrites',
  'late-retry': 'closeWrites',
  'no-fence': 'slowToHear',
  'no-second-check': 'heldAcrossAFlip',
  'orphan-kept': 'heldAcrossAFlip',
  'timeout-as-failure': 'lostReply',
  'legacy-token-alive': 'legacyToken',
};

/** Plays it on databases of its own; gives what does not hold. */
export async function play(
  servers: Servers,
  scenario: Scenario,
  bug: Bug | null,
): Promise<readonly string[]> {
  const database = `torture_${(bug ?? 'none').replaceAll('-', '_')}_${Date.now()}`;
  const system = await openSystem({
    servers,
    database,
    instances: scenario.instances,
    firstMode: scenario.firstMode,
    env: { ...scenario.env, ...(bug !== null && { TORTURE_BUG: bug }) },
    ...(bug !== null && { entry: 'test/torture/service.ts' }),
  });
  const operator = await openOperator(system);
  const http = createHttpClient(30_000);
  const recorder = createRecorder();
  const reports: string[] = [];
  let people = 0;
  try {
    await operator.set({ ...SETTINGS, ...scenario.settings });
    const world = {
      http,
      recorder,
      inbox: system.inbox,
      leewayMs: LEEWAY_MS,
      hashing: createTurns(2),
      report: (what: string) => void reports.push(what),
    };
    return await scenario.play({
      system,
      operator,
      recorder,
      tries: bug === null ? 1 : TRIES_MAX,
      person(places) {
        people += 1;
        const targets: Place[] = [];
        const at = (names: readonly string[]): void => {
          targets.splice(0, targets.length, ...system.places.filter(({ name }) => names.includes(name)));
        };
        at(places);
        const random = createRandom(people);
        return { ...createPerson({ ...world, random, targets }, `person-${people}@example.test`), at };
      },
      findings() {
        const { findings } = check(recorder.operations(), { leewayMs: LEEWAY_MS, configsMax: 50_000 });
        return [...findings.map(({ invariant, what }) => `invariant ${invariant}: ${what}`), ...reports];
      },
    });
  } finally {
    http.close();
    await operator.close();
    await system.close(false);
  }
}
