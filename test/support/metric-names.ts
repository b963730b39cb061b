/** What Prometheus' conventions have against the name of a metric and its labels, as promtool and its practices say. */
import type { Registry } from 'prom-client';

export interface Named {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labels: readonly string[];
}

/** Anything but seconds and bytes, spelled out or short. */
const OTHER_UNITS =
  /^(s|sec|secs|ms|msec|millis|milliseconds|us|micros|microseconds|ns|nanos|nanoseconds|minutes?|hours?|days?|b|kb|mb|gb|kib|mib|kilobytes|megabytes|bits|percent|percentage|permille)$/;
/** What is measured in seconds, whatever measures it. */
const OF_TIME = /^(duration|lag|age|oldest|latency|elapsed|delay|uptime)$/;
const TYPES = /^(counter|gauge|histogram|summary|metric)$/;
/** A label that would name one person, session, request or address: a series for each of them. */
const OF_ONE =
  /(^|_)(id|ids|uuid|user|users|name|email|mail|session|token|address|ip|host|path|url|agent|request)$/;
/** Prometheus adds these itself. */
const RESERVED = /^(le|quantile|job|instance|__.*)$/;

/** None, if all is as it should be. */
export function complaints({ name, help, type, labels }: Named): readonly string[] {
  const words = name.split('_');
  const unit = words.at(words.at(-1) === 'total' ? -2 : -1) ?? '';
  const against: readonly (readonly [string, boolean])[] = [
    ['is not in snake_case', !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name)],
    ['is a counter and does not end in _total', type === 'counter' && words.at(-1) !== 'total'],
    ['ends in _total and is no counter', type !== 'counter' && words.at(-1) === 'total'],
    ['ends as a part of a histogram', /_(bucket|count|sum)$/.test(name)],
    ['is not in a base unit', words.some((word) => OTHER_UNITS.test(word))],
    ['measures time and does not end in _seconds', words.some((w) => OF_TIME.test(w)) && unit !== 'seconds'],
    ['is a histogram without a unit', type === 'histogram' && !['seconds', 'bytes', 'ratio'].includes(unit)],
    ['names its type', words.some((word) => TYPES.test(word))],
    ['names a label', labels.some((label) => words.join('_').includes(`_by_${label}`))],
    ['has no help', help.trim() === ''],
    ...labels.flatMap((label): readonly (readonly [string, boolean])[] => [
      [`has a label not in snake_case: ${label}`, !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(label)],
      [`has a label of Prometheus' own: ${label}`, RESERVED.test(label)],
      [`has a label that names one of many: ${label}`, OF_ONE.test(label)],
    ]),
  ];
  return against.filter(([, holds]) => holds).map(([what]) => `${name} ${what}`);
}

/** Everything that is registered there, by now, with values or without. */
export function namedIn(registry: Registry): readonly Named[] {
  return registry.getMetricsAsArray().map((metric) => {
    const { labelNames: labels } = metric as unknown as { readonly labelNames: readonly string[] };
    return { name: metric.name, help: metric.help, type: String(metric.type), labels };
  });
}
