/**
 * Many people at once, each with a short life, so that each history stays easy to judge; who has retired still has
 * sessions, which are looked at again when everything is over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CAUGHT, type Caught, CLIENT_KINDS, type Kind } from '../history/types.ts';
import type { Random } from '../random.ts';
import type { LegacyAccount } from './legacy.ts';
import { createPerson, type Person, type World } from './person.ts';

export interface CrowdOptions {
  readonly world: World;
  /** How many live at the same time. */
  readonly people: number;
  /** How many acts a life has. */
  readonly acts: number;
  /** Mean time between two acts of one person. */
  readonly thinkMs: number;
  /** How many of a kind went well so far: kinds that are behind are chosen more often. */
  readonly done: (kind: Kind) => number;
  /** How many of each are wanted. */
  readonly wanted: number;
  /** And of wrongs that are to be caught. */
  readonly caughtWanted: number;
  /** Who has an account before the first request; they live first. */
  readonly legacy: readonly LegacyAccount[];
}

export interface Crowd {
  /** Everybody stops after what they are at; resolves then. */
  stop(): Promise<void>;
  /** One more look at what everybody holds, dead or alive: `logins` of them also sign in. */
  lookAround(logins: number): Promise<void>;
  readonly people: readonly Person[];
  /** How often each wrong was refused so far. */
  readonly caught: Readonly<Record<Caught, number>>;
}

type Act = keyof Person['acts'];

/** How often each is chosen; what hashes passwords is dear. */
const WEIGHTS: Readonly<Record<Act, number>> = {
  me: 30,
  refresh: 25,
  list: 12,
  logout: 3,
  end: 3,
  reuse: 2,
  login: 2,
  forgot: 2,
  verify: 2,
  resend: 2,
  exchange: 4,
  burn: 0.5,
  reset: 2,
  superseded: 0.7,
  change: 1,
  erase: 0.4,
  signup: 0.2,
};

/** Only who was there before has its tokens. */
const OF_THE_OLD_SERVICE: ReadonlySet<string> = new Set(['exchange', 'burn']);

const BEHIND_BOOST = 8;
const SHARE_OF_RACES = 0.12;
/** Of the lives that end before the run does. */
const SHARE_ERASED = 0.4;

export function startCrowd(options: CrowdOptions): Crowd {
  const { world } = options;
  const people: Person[] = [];
  const old = [...options.legacy];
  const caught: Record<Caught, number> = { reuse: 0, superseded: 0 };
  let stopping = false;
  let born = 0;

  async function live(lane: number): Promise<void> {
    await sleep((lane * options.thinkMs) / options.people);
    while (!stopping) {
      born += 1;
      const random = world.random.fork(born);
      const known = old.shift();
      const email = known?.email ?? `person-${born}.${random.int(0, 1e9)}@example.test`;
      const person = createPerson({ ...world, random }, email, known ?? null);
      people.push(person);
      if (known === undefined) await beBorn(person, random);
      else await comeBack(person);
      for (let act = 0; act < options.acts && !stopping; act += 1) {
        await sleep(random.next() * 2 * options.thinkMs);
        if (random.chance(SHARE_OF_RACES)) await race(person, random);
        else await doOne(person, random);
      }
      // The others keep their sessions, and are looked at again at the end.
      if (!stopping && random.chance(SHARE_ERASED)) await person.acts.erase();
    }
  }

  async function beBorn({ acts, email }: Person, random: Random): Promise<void> {
    // Two signups of one address at once, spelled differently: one of them may win.
    if (random.chance(0.1)) await Promise.all([acts.signup(), acts.signup(email.toUpperCase())]);
    else await acts.signup();
    await acts.verify();
  }

  /** Somebody who was signed in with the old service, on several devices. */
  async function comeBack({ acts }: Person): Promise<void> {
    await Promise.all([acts.login(), acts.exchange(), acts.exchange()]);
    await Promise.all([acts.exchange(), acts.exchange(), acts.exchange()]);
  }

  async function doOne(person: Person, random: Random): Promise<void> {
    if (person.alive().length === 0) {
      if ((await person.acts.login()) !== null || random.chance(0.5)) return;
      await person.acts.signup();
      return;
    }
    const weighted = Object.entries(WEIGHTS).map(([act, weight]) => {
      const kind = CLIENT_KINDS.find((known) => known === act);
      const wrong = CAUGHT.find((known) => known === act);
      const behind =
        (kind !== undefined && options.done(kind) < options.wanted) ||
        (wrong !== undefined && caught[wrong] < options.caughtWanted);
      const can = person.isLegacy || !OF_THE_OLD_SERVICE.has(act);
      return [act as Act, can ? weight * (behind ? BEHIND_BOOST : 1) : 0] as const;
    });
    const act = choose(weighted, random);
    // A token that was used before is tried in races; here it is to be a fresh one.
    if (act === 'reset') await person.acts.forgot();
    if (act === 'reuse' || act === 'superseded') {
      if (await person.acts[act]()) caught[act] += 1;
    } else await person.acts[act]();
  }

  const running = Promise.all(Array.from({ length: options.people }, (_, lane) => live(lane)));
  return {
    people,
    caught,
    async stop() {
      stopping = true;
      await running;
    },
    async lookAround(logins) {
      let left = logins;
      // A few at a time: what was ended must be over, whoever else is busy.
      const queue = [...world.random.fork('look around').shuffle(people)];
      const worker = async (): Promise<void> => {
        for (let person = queue.pop(); person !== undefined; person = queue.pop()) {
          for (const session of person.sessions) await person.acts.me(session);
          if (left-- > 0) await person.acts.login();
          for (const session of person.alive()) await person.acts.refresh(session);
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
    },
  };
}

/** Two things at once that get in each other's way. */
async function race(person: Person, random: Random): Promise<void> {
  const { acts, isLegacy } = person;
  const session = person.alive()[0] ?? null;
  const token = person.resetTokens.at(-1);
  const races: readonly (() => Promise<unknown>)[] = [
    () => Promise.all([acts.refresh(session), acts.refresh(session)]),
    () => Promise.all([acts.logout(), acts.refresh(session)]),
    () => Promise.all([acts.me(session), acts.refresh(session), acts.list()]),
    () => Promise.all([acts.verify(), acts.verify()]),
    () => Promise.all([acts.reset(token), token ? acts.reset(token) : acts.me()]),
    () => Promise.all([acts.login(), acts.reset(token)]),
    () => Promise.all([acts.change(), acts.me()]),
    () => Promise.all([acts.resend(), acts.verify()]),
    ...(isLegacy
      ? [
          () => Promise.all([acts.exchange(), acts.exchange(), acts.burn()]),
          () => Promise.all([acts.exchange(), acts.reset(token)]),
        ]
      : []),
  ];
  await random.pick(races)();
}

function choose<T>(weighted: readonly (readonly [T, number])[], random: Random): T {
  const total = weighted.reduce((sum, [, weight]) => sum + weight, 0);
  let at = random.next() * total;
  for (const [item, weight] of weighted) {
    at -= weight;
    if (at < 0) return item;
  }
  return random.pick(weighted)[0];
}
