/**
 * What the router adds to a call of the port, beside LaunchDarkly's `createMigration` in the stage that comes nearest,
 * each in a process of its own, in turns, over stores that answer at once. Ours admits under a lease and counts with
 * Prometheus; theirs evaluates a flag, measures latency, and calls both sources on the way to its answer where a stage
 * says so; ours mirrors and compares behind the answer, within the same process and so within the same measured time.
 */
import { MODES } from '../../../cutover/mode.ts';
import type { CallsAnswer, CallsRequest } from '../lib/calls.ts';
import { type Child, startChild } from '../lib/child.ts';
import type { Options } from '../lib/options.ts';
import { below, type PartResult, type Row, spread } from '../lib/results.ts';
import type { Run } from '../lib/run.ts';
import { compare, interleave, median } from '../lib/stats.ts';

const KINDS = ['read', 'write'] as const;
const STAGES = ['off', 'dualwrite', 'shadow', 'live', 'complete'] as const;

export async function measureRouter({ placement, progress }: Run, options: Options): Promise<PartResult> {
  const calls = options.quick ? 5_000 : 40_000;
  const rounds = options.quick ? 2 : 2 + options.rounds;
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  const ours = startChild({ entry: 'router.ts', cores: placement.service });
  const theirs = startChild({ entry: 'launchdarkly.ts', cores: placement.service });
  const ask = (child: Child, request: CallsRequest) => child.ask<CallsAnswer>(request);
  for (const mode of MODES) {
    for (const kind of KINDS) {
      for (const child of [ours, theirs]) await ask(child, { mode, kind, calls: calls / 2 });
    }
  }
  for (const [index, mode] of MODES.entries()) {
    for (const kind of KINDS) {
      progress(`router: ${mode}, ${kind}`);
      const once = (child: Child) => async () => (await ask(child, { mode, kind, calls })).microseconds;
      const { a, b } = await interleave(rounds, once(ours), once(theirs));
      const note = `createMigration in ${STAGES[index]}: ${median(b).toFixed(2)} µs; ratio ${compare(a, b).ratio.toFixed(2)}, ${spread(compare(a, b).pairs)}`;
      rows.push(below(`router · ${mode} · ${kind}`, median(a), 'µs', Number(median(b).toFixed(2)), note));
      details[`${mode} ${kind}`] = { ours: a, theirs: b };
    }
  }
  await Promise.all([ours.stop(), theirs.stop()]);
  return { rows, details };
}
