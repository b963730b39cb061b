/**
 * Session look-up and refresh beside better-auth, in turns, on one PostgreSQL server. Look-up: `GET /auth/me` beside
 * `get-session`, each with its session cookie and answering with the user. Refresh: better-auth rotates nothing, so
 * the nearest it has is a look-up that also extends the session in the database (`updateAge: 0`); ours replaces the
 * refresh token and signs an access token, which is more work.
 */
import type { LoadAnswer } from '../entry/load.ts';
import type { FlowName } from '../lib/flows.ts';
import type { Reading } from '../lib/gauges.ts';
import type { Options } from '../lib/options.ts';
import { atLeast, info, type PartResult, type Row, spread } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { install, installPeer, type Measured, seed } from '../lib/service.ts';
import { compare, interleave, median, sum } from '../lib/stats.ts';

const GOAL = 3;
const NEVER_S = 24 * 60 * 60;

interface Duel {
  readonly name: string;
  readonly ours: FlowName;
  /** The goal is held against the peer's faster configuration, not its default. */
  readonly joins: boolean;
  readonly updateAgeS: number;
  readonly goal: boolean;
  readonly words: string;
}

const DUELS: readonly Duel[] = [
  {
    name: 'session look-up',
    ours: 'me',
    joins: true,
    updateAgeS: NEVER_S,
    goal: true,
    words: 'me beside get-session, database joins on',
  },
  {
    name: 'session look-up, its default',
    ours: 'me',
    joins: false,
    updateAgeS: NEVER_S,
    goal: false,
    words: 'me beside get-session, database joins off',
  },
  {
    name: 'refresh',
    ours: 'refresh',
    joins: true,
    updateAgeS: 0,
    goal: true,
    words: 'refresh beside get-session with updateAge 0, which extends but does not rotate',
  },
];

export async function measurePeer(run: Run, options: Options): Promise<PartResult> {
  const { servers, load, placement, progress } = run;
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  servers.place(placement.databases);
  progress(`peer: signing up ${options.people} people on both sides`);
  const installation = await install(servers, 'postgres', options);
  await seed(installation, load, 'service', options.people);
  const peer = await installPeer(servers, options);
  const seeding = await peer.start({ cores: placement.service, joins: true, updateAgeS: NEVER_S });
  await load.seed('peer', seeding.port, 'peerSignup', options.people);
  await seeding.stop();

  for (const duel of DUELS.filter(({ goal }) => goal || !options.quick)) {
    const service = await installation.start({ cores: placement.service, cost: options.cost });
    const other = await peer.start({ cores: placement.service, ...duel });
    const once = (measured: Measured, audience: string, flow: FlowName) => async () => {
      progress(`peer: ${duel.name}, ${audience === 'peer' ? 'better-auth' : 'the service'}`);
      await measured.read();
      const answer = await load.run({
        audience,
        port: measured.port,
        flow,
        connections: options.connections,
        rate: null,
        warmUpMs: options.warmUpMs,
        windowMs: options.windowMs,
      });
      return { answer, reading: await measured.read() };
    };
    const { a, b } = await interleave(
      duel.goal ? options.rounds : 1,
      once(service, 'service', duel.ours),
      once(other, 'peer', 'peerSession'),
    );
    await Promise.all([service.stop(), other.stop()]);
    const ours = a.map(({ answer }) => answer.perSecond);
    const theirs = b.map(({ answer }) => answer.perSecond);
    const { ratio, pairs } = compare(ours, theirs);
    const name = `peer · ${duel.name}`;
    const note = `${duel.words}; ${spread(pairs)}`;
    const cpu = cpuPerAnswer(b) / cpuPerAnswer(a);
    rows.push(
      duel.goal
        ? atLeast(`${name} · ratio`, ratio, '×', GOAL, note)
        : info(`${name} · ratio`, ratio, '×', note),
      info(`${name} · ratio of CPU time`, cpu, '×', 'what better-auth uses for one answer over what we use'),
      info(`${name} · service`, median(ours), '/s', latencies(a)),
      info(`${name} · better-auth`, median(theirs), '/s', latencies(b)),
    );
    details[duel.name] = { service: a, peer: b };
  }
  return { rows, details };
}

interface Window {
  readonly answer: LoadAnswer;
  readonly reading: Reading;
}

/** Of the measured process, ms; other work on the machine bends it less than a throughput. The warm-up is in both. */
function cpuPerAnswer(windows: readonly Window[]): number {
  return sum(windows.map(({ reading }) => reading.cpuMs)) / sum(windows.map(({ answer }) => answer.answered));
}

function latencies(windows: readonly Window[]): string {
  const of = (pick: (window: Window) => number): number => median(windows.map(pick));
  const p50 = of(({ answer }) => answer.p50Ms).toFixed(1);
  const p99 = of(({ answer }) => answer.p99Ms).toFixed(1);
  const busy = of(({ reading }) => (reading.cpuMs / reading.wallMs) * 100).toFixed(0);
  return `p50 ${p50} ms, p99 ${p99} ms; ${cpuPerAnswer(windows).toFixed(2)} ms CPU each, CPU ${busy} %`;
}
