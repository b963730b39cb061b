/** Logins per second beside bare bcryptjs on the same cores, in turns; and how late the event loop is meanwhile. */
import { availableParallelism } from 'node:os';
import type { StoreName } from '../../../db/errors.ts';
import type { BcryptAnswer, BcryptRequest } from '../entry/bcrypt.ts';
import { startChild } from '../lib/child.ts';
import type { Options } from '../lib/options.ts';
import { atLeast, below, info, type PartResult, type Row, spread } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { install } from '../lib/service.ts';
import { compare, interleave, median } from '../lib/stats.ts';

const GOAL_SHARE = 0.95;
const GOAL_DELAY_MS = 20;
/** Logins in flight for each core: enough that a thread never waits for the next one. */
const LOGINS_PER_CORE = 8;
const PEOPLE_MIN = 16;

export async function measureLogins(run: Run, options: Options): Promise<PartResult> {
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  // Every core hashes: nothing is pinned.
  run.servers.place(null);
  const bcrypt = startChild({ entry: 'bcrypt.ts', cores: null });
  for (const store of options.stores) {
    const result = await measureStore(run, options, store, (request) => bcrypt.ask<BcryptAnswer>(request));
    rows.push(...result.rows);
    details[store] = result.details;
  }
  await bcrypt.stop();
  return { rows, details };
}

async function measureStore(
  { servers, load, progress }: Run,
  options: Options,
  store: StoreName,
  bare: (request: BcryptRequest) => Promise<BcryptAnswer>,
): Promise<PartResult> {
  const { cost, warmUpMs, windowMs, rounds } = options;
  const audience = `logins ${store}`;
  const connections = LOGINS_PER_CORE * availableParallelism();
  const people = Math.max(PEOPLE_MIN, connections);
  progress(`logins, ${store}: signing up ${people} people at cost ${cost}`);
  const installation = await install(servers, store, options);
  const service = await installation.start({ cores: null, cost, loopDelay: true });
  await load.seed(audience, service.port, 'signup', people);
  const { a, b } = await interleave(
    rounds,
    async () => {
      progress(`logins, ${store}: the service`);
      await service.read();
      const logins = await load.run({
        audience,
        port: service.port,
        flow: 'login',
        connections,
        rate: null,
        warmUpMs,
        windowMs,
      });
      return { perSecond: logins.perSecond, logins, reading: await service.read() };
    },
    async () => {
      progress(`logins, ${store}: bare bcryptjs`);
      const answer = await bare({ cost, warmUpMs, windowMs });
      return { perSecond: answer.perSecond, bare: answer };
    },
  );
  await service.stop();
  const ours = a.map(({ perSecond }) => perSecond);
  const theirs = b.map(({ perSecond }) => perSecond);
  const { ratio, pairs } = compare(ours, theirs);
  const delays = a.map(({ reading }) => reading.loopDelayMs);
  const p99 = Math.max(...delays.map((delay) => delay?.p99 ?? Number.NaN));
  const worst = Math.max(...delays.map((delay) => delay?.max ?? Number.NaN));
  const name = `logins · ${store}`;
  return {
    rows: [
      atLeast(`${name} · share of bare bcryptjs`, ratio, '×', GOAL_SHARE, spread(pairs)),
      info(`${name} · service`, median(ours), '/s', `cost ${cost}, ${connections} at once`),
      info(`${name} · bare bcryptjs`, median(theirs), '/s', `${b[0]?.bare.threads} threads`),
      below(
        `${name} · event-loop delay p99`,
        p99,
        'ms',
        GOAL_DELAY_MS,
        `worst window; max ${worst.toFixed(1)} ms`,
      ),
    ],
    details: { service: a, bare: b },
  };
}
