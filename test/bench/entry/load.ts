/** The load generator's process: holds the people of every target, and sends what it is asked to. */
import { randomBytes } from 'node:crypto';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { type Flow, type FlowName, flows, type Person } from '../lib/flows.ts';
import { closedLoop, type LoadResult, once, openLoop } from '../lib/load.ts';
import { ascending, quantileOf, ratePerSecond } from '../lib/stats.ts';

export type LoadRequest =
  | {
      readonly type: 'seed';
      readonly audience: string;
      readonly port: number;
      readonly flow: FlowName;
      readonly people: number;
      readonly connections: number;
    }
  | {
      /** People who are there already, each `times` over. */
      readonly type: 'again';
      readonly audience: string;
      readonly port: number;
      readonly flow: FlowName;
      readonly times: number;
      readonly connections: number;
    }
  | {
      readonly type: 'run';
      readonly audience: string;
      readonly port: number;
      /** One, or several drawn by their weights. */
      readonly flow: FlowName | Mix;
      readonly connections: number;
      /** Arrivals per second of an open loop; null: closed. */
      readonly rate: number | null;
      readonly warmUpMs: number;
      readonly windowMs: number;
    }
  /** Ends this audience's open loop before its time. */
  | { readonly type: 'stop'; readonly audience: string };

export type Mix = Readonly<Partial<Record<FlowName, number>>>;

export interface LoadAnswer {
  /** Good answers within the window. */
  readonly count: number;
  /** Good answers in all, warm-up and tail included. */
  readonly answered: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Of the good answers within the window, by flow: when each came, ms since 1970, and how long it took. */
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
}

export type Sample = readonly [endedMs: number, tookMs: number];

endWithParent();

const audiences = new Map<string, readonly Person[]>();
const stops = new Map<string, AbortController>();

answerRequests<LoadRequest>(async (request) => {
  const { audience } = request;
  if (request.type === 'stop') return stops.get(audience)?.abort();
  const { port, connections } = request;
  if (request.type === 'seed') audiences.set(audience, Array.from({ length: request.people }, newPerson));
  const people = audiences.get(audience) ?? [];
  const target = { port, people, connections, next: chooser(request.flow) };
  if (request.type === 'seed') return summary(await once(target));
  if (request.type === 'again') {
    for (let time = 0; time < request.times; time += 1) summary(await once(target));
    return null;
  }
  const { rate, warmUpMs, windowMs } = request;
  if (rate === null) return summary(await closedLoop(target, warmUpMs, windowMs));
  const stop = new AbortController();
  stops.set(audience, stop);
  return summary(await openLoop(target, rate, warmUpMs, windowMs, stop.signal));
});

function chooser(flow: FlowName | Mix): (person: Person) => Flow {
  if (typeof flow === 'string') return () => flows[flow];
  const drawn = Object.entries(flow).flatMap(([name, weight]) =>
    Array<FlowName>(weight).fill(name as FlowName),
  );
  return ({ spare }) => {
    const name = drawn[Math.floor(Math.random() * drawn.length)] ?? 'me';
    return name === 'logout' && spare.length === 0 ? flows.me : flows[name];
  };
}

function newPerson(): Person {
  const word = randomBytes(6).toString('hex');
  return {
    email: `${word}@bench.example`,
    password: `bench ${word}`,
    cookies: { access: '', refresh: '' },
    spare: [],
  };
}

/** One bad answer is a failure of the run: numbers about errors would be numbers about nothing. */
function summary({ endedMs, latenciesMs, flows: asked, answered, failed, failure }: LoadResult): LoadAnswer {
  if (failed > 0) throw new Error(`${failed} requests failed, the first with ${failure}`);
  const sorted = ascending(latenciesMs);
  return {
    count: sorted.length,
    answered,
    perSecond: ratePerSecond(endedMs),
    p50Ms: quantileOf(sorted, 0.5),
    p99Ms: quantileOf(sorted, 0.99),
    maxMs: quantileOf(sorted, 1),
    samples: samplesOf(endedMs, latenciesMs, asked),
  };
}

function samplesOf(
  endedMs: readonly number[],
  latenciesMs: readonly number[],
  asked: readonly Flow[],
): LoadAnswer['samples'] {
  const named = new Map<Flow, string>(Object.entries(flows).map(([name, flow]) => [flow, name]));
  const samples: Record<string, Sample[]> = {};
  for (const [index, flow] of asked.entries()) {
    const ended = performance.timeOrigin + (endedMs[index] ?? 0);
    const name = named.get(flow) ?? '';
    samples[name] = samples[name] ?? [];
    samples[name].push([ended, latenciesMs[index] ?? 0]);
  }
  return samples;
}
