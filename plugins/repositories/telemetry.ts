import type { FastifyBaseLogger } from 'fastify';
import {
  COUNTERS,
  type CounterName,
  HISTOGRAMS,
  type HistogramName,
  type Telemetry,
} from '../../cutover/telemetry.ts';
import type { Metrics } from '../metrics/metrics.ts';

/** The engine's words as log lines and its counts as Prometheus metrics. */
export function createTelemetry(log: FastifyBaseLogger, metrics: Metrics): Telemetry {
  const counters = Object.fromEntries(
    Object.entries(COUNTERS).map(([name, { help, labels }]) => [
      name,
      metrics.counter<string>(name, help, labels),
    ]),
  ) as Record<CounterName, ReturnType<typeof metrics.counter>>;
  const histograms = Object.fromEntries(
    Object.entries(HISTOGRAMS).map(([name, { help, labels, buckets }]) => [
      name,
      metrics.histogram<string>(name, help, labels, buckets),
    ]),
  ) as Record<HistogramName, ReturnType<typeof metrics.histogram>>;
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    count: (name, labels, by = 1) => counters[name].inc(labels, by),
    observe: (name, labels, seconds) => histograms[name].observe(labels, seconds),
  };
}
