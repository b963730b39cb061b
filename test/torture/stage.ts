/** One running system on which one short directed run after the other is played, with one seeded bug or none. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mongoose from 'mongoose';
import type { Mode } from '../../cutover/mode.ts';
import { asSuperuser } from '../support/databases.ts';
import { eventually } from '../support/wait.ts';
import type { Bug } from './bugs.ts';
import { check } from './checker/checker.ts';
import { createHttpClient } from './clients/http.ts';
import { createPerson, type Person } from './clients/person.ts';
import { createTurns } from './clients/turns.ts';
import { TABLES } from './final/records.ts';
import { judgeRest } from './final/rest.ts';
import { type Operator, openOperator } from './flips/inline.ts';
import { createRecorder, type Recorder } from './history/recorder.ts';
import { createRandom } from './random.ts';
import { LEEWAY_MS } from './system/environment.ts';
import type { Place } from './system/instances.ts';
import { openServers, openSystem, type System } from './system/system.ts';

/** What a scenario is played with. */
export interface Play {
  readonly system: System;
  readonly operator: Operator;
  readonly recorder: Recorder;
  /** Somebody whose requests go to any of these instances, and `at` changes that. */
  person(places: readonly string[]): Person & { at(places: readonly string[]): void };
  /** What the checker finds by now. */
  findings(): readonly string[];
  /** The same or, where that is nothing, what differs between the stores at rest. */
  judge(): Promise<readonly string[]>;
  /** Resolves when every instance follows them. */
  set(settings: Scenario['settings']): Promise<void>;
  /** How many states of the mirror are on their way, to land late: only a bug does that. */
  late(): Promise<number>;
  /** How many times an orphan was to be dealt with, and was not: only a bug does that. */
  kept(): Promise<number>;
  readonly bug: Bug | null;
}

export interface Scenario {
  /** Over `SETTINGS`. */
  readonly settings: Readonly<Record<string, string>>;
  /** What does not hold. */
  play(play: Play): Promise<readonly string[]>;
}

export interface Stage {
  /** Plays it on empty stores in `shadow-read`; gives what does not hold. */
  play(scenario: Scenario, bug: Bug | null): Promise<readonly string[]>;
  close(): Promise<void>;
}

const FIRST_MODE: Mode = 'shadow-read';
/** Nobody falls silent here unless a scenario wants it, and a machine may be busy. */
const SETTINGS = {
  'heartbeat-ms': '100',
  'poll-ms': '100',
  'fast-poll-ms': '20',
  'lease-ms': '20000',
  'margin-ms': '200',
  'deadline-ms': '30000',
  'fence-max-ms': '20000',
  'flip-attempts': '5',
  'gate-primary-comparisons': '0',
  'shadow-sample': '0',
};
/**
 * How long the mirror may take to catch up. With a bug it never does: a scenario has waited before until the mirror had done all
 * that it will do, so that what differs then is no slowness.
 */
const REST_MS = { none: 60_000, bug: 500 } as const;
const BOOKS = ['cutover_notes', 'cutover_aside'];
/** Rows of an earlier epoch, whose leases a move would wait out. */
const LEASES = 'cutover_leases';

export async function openStage(): Promise<Stage> {
  const sockets = await mkdtemp(join(tmpdir(), 'teeth-'));
  const servers = await openServers(sockets);
  const system = await openSystem({
    servers,
    instances: 2,
    firstMode: FIRST_MODE,
    env: { TORTURE_SOCKETS: sockets, STORE_TIMEOUT: '20s' },
    entry: 'test/torture/service.ts',
  });
  const operator = await openOperator(system);
  const http = createHttpClient(60_000);
  let plays = 0;
  const set = new Map<string, string>();

  /** At every instance, and what they say together. */
  async function ask(method: 'GET' | 'POST', bug: Bug | null): Promise<Said> {
    const answers = system.places.map(({ url }) => {
      const socketPath = join(sockets, `${new URL(url).port}.sock`);
      return askSocket(socketPath, method, `/${bug ?? ''}`);
    });
    const said = await Promise.all(answers);
    const sum = (of: keyof Said): number => said.reduce((total, each) => total + each[of], 0);
    return { late: sum('late'), kept: sum('kept') };
  }

  /** Nothing is left of the play before. */
  async function clear(): Promise<void> {
    await ask('POST', null);
    await eventually(async () => (await ask('GET', null)).late === 0, { timeoutMs: 120_000 });
    await empty(system);
    const { record } = await operator.situation();
    if (record !== null && record.mode !== FIRST_MODE) {
      const refused = await operator.move(record.mode, FIRST_MODE);
      if (refused !== null) throw new Error(`not back in ${FIRST_MODE}: ${refused}`);
    }
    await empty(system);
    await asSuperuser(system.stores.postgres.url, `truncate ${LEASES}`);
  }

  async function settle(settings: Scenario['settings']): Promise<void> {
    const changed = Object.entries(settings).filter(([key, value]) => set.get(key) !== value);
    await operator.set(Object.fromEntries(changed));
    for (const [key, value] of changed) set.set(key, value);
  }

  async function play(scenario: Scenario, bug: Bug | null): Promise<readonly string[]> {
    plays += 1;
    await clear();
    await settle({ ...SETTINGS, ...scenario.settings });
    await ask('POST', bug);
    const recorder = createRecorder();
    const reports: string[] = [];
    const world = {
      http,
      recorder,
      inbox: system.inbox,
      leewayMs: LEEWAY_MS,
      hashing: createTurns(2),
      report: (what: string) => void reports.push(what),
    };
    const findings = (): readonly string[] => {
      const { findings: found } = check(recorder.operations(), { leewayMs: LEEWAY_MS, configsMax: 50_000 });
      return [...found.map(({ invariant, what }) => `invariant ${invariant}: ${what}`), ...reports];
    };
    let people = 0;
    return scenario.play({
      system,
      operator,
      recorder,
      bug,
      person(places) {
        people += 1;
        const targets: Place[] = [];
        const at = (names: readonly string[]): void => {
          targets.splice(0, targets.length, ...system.places.filter(({ name }) => names.includes(name)));
        };
        at(places);
        const email = `person-${people}@play-${plays}.test`;
        return { ...createPerson({ ...world, random: createRandom(people), targets }, email), at };
      },
      findings,
      async judge() {
        const found = findings();
        if (found.length > 0) return found;
        return (await judgeRest(system, bug === null ? REST_MS.none : REST_MS.bug)).findings;
      },
      set: settle,
      late: async () => (await ask('GET', null)).late,
      kept: async () => (await ask('GET', null)).kept,
    });
  }

  return {
    play,
    async close() {
      http.close();
      await operator.close();
      await system.close(false);
      await servers.close();
      await rm(sockets, { recursive: true, force: true });
    },
  };
}

/** Of its bug, by an instance. */
interface Said {
  readonly late: number;
  readonly kept: number;
}

function askSocket(socketPath: string, method: string, path: string): Promise<Said> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(JSON.parse(text) as Said);
        else reject(new Error(`${path} is no bug`));
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** Behind the back of the service, which is idle. */
async function empty({ stores }: System): Promise<void> {
  await asSuperuser(stores.postgres.url, `truncate ${[...TABLES, ...BOOKS].join(', ')}`);
  const client = new mongoose.mongo.MongoClient(stores.mongo.url, { directConnection: true });
  try {
    for (const name of [...TABLES, ...BOOKS]) await client.db().collection(name).deleteMany({});
  } finally {
    await client.close();
  }
}
