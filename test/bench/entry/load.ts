/** The load generator's process: holds the people of every target, and sends what it is asked to. */
import { randomBytes } from 'node:crypto';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { type FlowName, flows, type Person } from '../lib/flows.ts';
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
      readonly type: 'run';
      readonly audience: string;
      readonly port: number;
      readonly flow: FlowName;
      readonly connections: number;
      /** Arrivals per second of an open loop; null: closed. */
      readonly rate: number | null;
      readonly warmUpMs: number;
      readonly windowMs: number;
    };

export interface LoadAnswer {
  /** Good answers within the window. */
  readonly count: number;
  /** Good answers in all, warm-up and tail included. */
  readonly answered: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

endWithParent();

const audiences = new Map<string, readonly Person[]>();

answerRequests<LoadRequest>(async (request) => {
  const flow = flows[request.flow];
  const { port, connections } = request;
  if (request.type === 'seed') {
    const people = Array.from({ length: request.people }, newPerson);
    audiences.set(request.audience, people);
    return summary(await once({ port, flow, people, connections }));
  }
  const people = audiences.get(request.audience) ?? [];
  const target = { port, flow, people, connections };
  return summary(
    request.rate === null
      ? await closedLoop(target, request.warmUpMs, request.windowMs)
      : await openLoop(target, request.rate, request.warmUpMs, request.windowMs),
  );
});

function newPerson(): Person {
  const word = randomBytes(6).toString('hex');
  return {
    email: `${word}@bench.example`,
    password: `bench ${word}`,
    cookies: { access: '', refresh: '' },
  };
}

/** One bad answer is a failure of the run: numbers about errors would be numbers about nothing. */
function summary({ endedMs, latenciesMs, answered, failed, failure }: LoadResult): LoadAnswer {
  if (failed > 0) throw new Error(`${failed} requests failed, the first with ${failure}`);
  const sorted = ascending(latenciesMs);
  return {
    count: sorted.length,
    answered,
    perSecond: ratePerSecond(endedMs),
    p50Ms: quantileOf(sorted, 0.5),
    p99Ms: quantileOf(sorted, 0.99),
    maxMs: quantileOf(sorted, 1),
  };
}
