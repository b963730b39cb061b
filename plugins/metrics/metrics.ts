import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** What the service counts. Labels are fixed words: no id, name, address or path of a client's. */
export interface Metrics {
  readonly registry: Registry;
  /** One answered request; `route` is the template, null when none matched. */
  request(answer: {
    readonly method: string;
    readonly route: string | null;
    readonly status: number;
    readonly durationMs: number;
  }): void;
  authEvent(event: {
    readonly event: string;
    readonly outcome: string;
    readonly reason?: string | undefined;
  }): void;
  mail(result: 'sent' | 'failed' | 'retried' | 'refused'): void;
  storeError(error: { readonly store: string | null; readonly reason: string }): void;
  /** A limit said no. */
  limitRefused(limit: string): void;
  /** The limiter itself failed and let the attempt through. */
  limiterFailed(): void;
  /** Reads a number whenever metrics are collected. */
  gauge(name: string, help: string, read: () => number): void;
  /** The same with labels: one number for each set of them. */
  gauges<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: () => readonly { readonly labels: Readonly<Record<L, string>>; readonly value: number }[],
  ): void;
  /** For who keeps the counter itself. */
  counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L>;
  histogram<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: readonly number[],
  ): Histogram<L>;
}

const DURATION_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Sums that can fall, of gauges that are there by type: `_total` is for counters. */
const MISNAMED = [
  'nodejs_active_resources_total',
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
];

/** A registry of its own: several apps can run in one process. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);

  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from request to answer, by route template and class of status',
    labelNames: ['method', 'route', 'status_class'],
    buckets: DURATION_BUCKETS_S,
    registers,
  });
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name, help, labelNames, registers });
  const authEvents = counter('auth_events_total', 'Authentication events', 'event', 'outcome', 'reason');
  const mails = counter('mails_total', 'Mails by what became of them; retried counts attempts', 'result');
  const storeErrors = counter('store_errors_total', 'Requests a store failed', 'store', 'reason');
  const refused = counter('rate_limit_refused_total', 'Attempts refused by a limit', 'limit');
  const failures = counter(
    'rate_limit_failures_total',
    'Failures of the limiter; the attempt was let through, or got 503 where the store was too busy',
  );

  return {
    registry,
    request({ method, route, status, durationMs }) {
      const labels = {
        method,
        route: route ?? 'unmatched',
        status_class: `${Math.floor(status / 100)}xx`,
      };
      requests.observe(labels, durationMs / 1000);
    },
    authEvent: ({ event, outcome, reason }) =>
      authEvents.inc({ event, outcome, ...(reason !== undefined && { reason }) }),
    mail: (result) => mails.inc({ result }),
    storeError: ({ store, reason }) => storeErrors.inc({ store: store ?? 'none', reason }),
    limitRefused: (limit) => refused.inc({ limit }),
    limiterFailed: () => failures.inc(),
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    },
    gauges(name, help, labelNames, read) {
      new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          for (const { labels, value } of read()) this.set(labels, value);
        },
      });
    },
    counter: (name, help, labelNames) => new Counter({ name, help, labelNames: [...labelNames], registers }),
    histogram: (name, help, labelNames, buckets) =>
      new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers }),
  };
}
