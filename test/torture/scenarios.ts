/**
 * Short directed runs, each made so that a certain mistake must show: two instances, a handful of people, and the very
 * fault that the mistake needs. Without a seeded bug every one of them holds.
 */
import { createHash } from 'node:crypto';
import mongoose from 'mongoose';
import { eventually } from '../support/wait.ts';
import { carries, isMongoWrite, isStatement } from '../support/wire.ts';
import type { Bug } from './bugs.ts';
import type { Person } from './clients/person.ts';
import { readBoth } from './final/rest.ts';
import { startCoordinator } from './flips/operator.ts';
import type { Scenario } from './stage.ts';
import type { System } from './system/system.ts';

const PATIENT = { timeoutMs: 60_000 } as const;

/** Writes that follow one another closely at different instances, then rest. */
const closeWrites: Scenario = {
  settings: {},
  async play({ system, person, judge, late, bug }) {
    const comesLate = bug === 'stamp-guard-removed' || bug === 'late-retry';
    for (let round = 1; round <= 2; round += 1) {
      const ada = person(['a']);
      await ada.acts.signup();
      // The first instance's mirror has begun, and is not done if it is late.
      if (comesLate) await eventually(async () => (await late()) > 0, PATIENT);
      ada.at(['b']);
      await ada.acts.logout();
      if (comesLate) await eventually(async () => (await late()) === 0, PATIENT);
    }
    // Whatever the bug has made of it: the mirror says that all is done.
    await eventually(async () => (await readBoth(system)).mongo.marked === 0, PATIENT);
    return judge();
  },
};

const HELD_PEOPLE = 3;
/** For whoever is to be waited out, and afterwards. */
const SHORT_LEASE = { 'lease-ms': '3000' } as const;
const LONG_LEASE = { 'lease-ms': '20000' } as const;

/** Writes are held on their way to MongoDB; their instance loses its lease, authority moves, and then they land. */
const heldAcrossAFlip: Scenario = {
  settings: {},
  async play({ system, operator, person, judge, set, kept, bug }) {
    const people = Array.from({ length: HELD_PEOPLE }, () => person(['a']));
    await Promise.all(people.map(({ acts }) => acts.signup()));
    // What the mirror still has to write carries the same ids.
    await eventually(async () => (await readBoth(system)).mongo.marked === 0, PATIENT);
    const proxy = system.proxy('a', 'mongo');
    try {
      await set(SHORT_LEASE);
      const held = people.map((each) => holdItsWrite(proxy, each));
      const asked = people.map(({ acts, sessions }) => acts.refresh(sessions[0]));
      if ((await Promise.all(held)).includes(false)) throw new Error('a write was not held');
      // The heartbeats too, from here on.
      proxy.freeze();
      const refused = await operator.move('shadow-read', 'postgres-primary');
      if (refused !== null) throw new Error(`authority did not move: ${refused}`);
      proxy.heal();
      await Promise.all(asked);
    } finally {
      proxy.heal();
    }
    // A busy machine is not to keep them from it.
    await set(LONG_LEASE);
    // All but one go on; what that one left behind nobody writes over.
    for (const { acts, sessions } of people.slice(1)) await acts.refresh(sessions[0]);
    if (bug === 'orphan-kept') await eventually(async () => (await kept()) > 0, PATIENT);
    return judge();
  },
};

function holdItsWrite(proxy: ReturnType<System['proxy']>, { sessions }: Person): Promise<boolean> {
  const carriesIt = carries(sessions[0]?.id ?? '');
  return proxy.holdNext((sent) => isMongoWrite(sent) && carriesIt(sent));
}

/**
 * A logout is held on its way to MongoDB while there is no mirror; the instance falls silent, the mirror is switched on, all is
 * copied, and then it lands, without a mark. Asked again, another instance finds nothing left to do.
 */
const heldIntoTheMirror: Scenario = {
  settings: {},
  async play({ system, operator, person, judge, set }) {
    await made(operator.move('shadow-read', 'dual-write'));
    await made(operator.move('dual-write', 'mongo-only'));
    const ada = person(['a']);
    await ada.acts.signup();
    const proxy = system.proxy('a', 'mongo');
    try {
      await set(SHORT_LEASE);
      const held = holdItsWrite(proxy, ada);
      const asked = ada.acts.logout();
      if (!(await held)) throw new Error('no write was held');
      proxy.freeze();
      await made(operator.move('mongo-only', 'dual-write'));
      const backfill = await startCoordinator(system, { verb: 'backfill', from: 'mongo', killAt: null });
      const end = await backfill.ended;
      if (end?.result !== 'done') throw new Error(`no copy: ${end?.reasons.join('; ')}`);
      proxy.heal();
      await asked;
    } finally {
      proxy.heal();
    }
    await set(LONG_LEASE);
    ada.at(['b']);
    await ada.acts.logout();
    return judge();
  },
};

async function made(refusal: Promise<string | null>): Promise<void> {
  const refused = await refusal;
  if (refused !== null) throw new Error(`the mode did not change: ${refused}`);
}

/** An instance stops at the fence, and hears no more until authority has moved; somebody asks it for something. */
const slowToHear: Scenario = {
  settings: {},
  async play({ system, operator, person, judge, bug }) {
    const ada = person(['b']);
    await ada.acts.signup();
    await eventually(async () => (await readBoth(system)).mongo.marked === 0, PATIENT);
    const proxies = [system.proxy('b', 'mongo'), system.proxy('b', 'postgres')];
    const heal = (): void => {
      for (const proxy of proxies) proxy.heal();
    };
    try {
      const refused = await operator.move('shadow-read', 'postgres-primary', (step) => {
        // All have stopped, and nothing has moved yet: what is read from here on it must not learn.
        if (step === 'drain-loser') for (const proxy of proxies) void holdControl(proxy);
        if (step === 'acknowledge') {
          void ada.acts.refresh(ada.sessions[0]).finally(heal);
          // Whoever keeps to the fence answers only once it has heard.
          if (bug === null) heal();
        }
      });
      if (refused !== null) throw new Error(`authority did not move: ${refused}`);
    } finally {
      heal();
    }
    ada.at(['a']);
    await ada.acts.refresh(ada.sessions[0]);
    return judge();
  },
};

/** Every look at the control record, on whatever connection. */
async function holdControl(proxy: ReturnType<System['proxy']>): Promise<void> {
  while (await proxy.holdNext((sent) => isStatement(sent) && sent.includes('cutover_control')));
}

/** A password change commits, and its reply is lost. */
const lostReply: Scenario = {
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

export const SCENARIOS = {
  closeWrites,
  heldAcrossAFlip,
  heldIntoTheMirror,
  slowToHear,
  lostReply,
  legacyToken,
};

/** Where each bug must show, and what it must lead to: another finding would be another mistake's, or a slow machine's. */
export const SHOWN_BY: Readonly<
  Record<Bug, { readonly scenario: keyof typeof SCENARIOS; readonly finding: RegExp }>
> = {
  'mirror-dropped': { scenario: 'closeWrites', finding: /^users \S+ record: only in the first$/ },
  'stamp-guard-removed': { scenario: 'closeWrites', finding: /^sessions \S+ version: differs$/ },
  'late-retry': { scenario: 'closeWrites', finding: /^sessions \S+ version: differs$/ },
  'no-fence': { scenario: 'slowToHear', finding: /^invariant 1: \{"kind":"refresh"/ },
  'no-second-check': { scenario: 'heldAcrossAFlip', finding: /^invariant 1: \{"kind":"refresh"/ },
  'orphan-kept': { scenario: 'heldAcrossAFlip', finding: / records are still marked / },
  'timeout-as-failure': { scenario: 'lostReply', finding: /^invariant 1: / },
  'legacy-token-alive': { scenario: 'legacyToken', finding: /^invariant 4: \{"kind":"reset"/ },
};
