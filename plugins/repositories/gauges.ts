import type { Engine } from '../../cutover/engine.ts';
import { MODES } from '../../cutover/mode.ts';
import type { Metrics } from '../metrics/metrics.ts';

/** What the engine knows at the moment it is asked, as gauges. A number that is not known is left out. */
export function registerGauges(metrics: Metrics, engine: Engine): void {
  const plain = (name: string, help: string, read: () => number | null) =>
    metrics.gauges(name, help, [], () => {
      const value = read();
      return value === null ? [] : [{ labels: {}, value }];
    });

  metrics.gauges('cutover_mode', 'The effective mode is 1, every other one 0', ['mode'], () => {
    const { effective } = engine.status();
    return MODES.map((mode) => ({ labels: { mode }, value: mode === effective ? 1 : 0 }));
  });
  plain('cutover_epoch', 'Changes of authority so far', () => engine.status().epoch);
  plain('cutover_revision', 'Changes of the control record so far', () => engine.status().revision);
  plain('cutover_serving', '1 while operations are admitted', () =>
    engine.status().standing === 'serving' ? 1 : 0,
  );
  plain('cutover_waiting', 'Operations waiting at a fence', () => engine.status().waiting);
  plain('cutover_lease_age_seconds', 'Age of the lease, from the sending of the heartbeat it rests on', () =>
    seconds(engine.status().leaseAgeMs),
  );
  plain(
    'cutover_mirror_queued',
    'Records this instance has yet to mirror',
    () => engine.status().mirror.queued,
  );
  plain('cutover_mirror_pending', 'Marked records in the authority', () => engine.status().mirror.pending);
  plain('cutover_mirror_oldest_seconds', 'Age of the oldest mark', () =>
    seconds(engine.status().mirror.oldestAgeMs),
  );
  plain('cutover_foreign_watching', '1 in the instance that watches for foreign writes', () =>
    engine.status().watchesForeign ? 1 : 0,
  );
  plain(
    'cutover_foreign_open',
    'Foreign writes that are noted and not settled, found by a watcher or by verify',
    () => engine.status().mirror.foreign,
  );
  metrics.gauges(
    'cutover_notes_open',
    'Notes in the authority that are not settled, of all instances: poison, conflict, quarantine, difference',
    ['kind'],
    () =>
      Object.entries(engine.status().mirror.notes ?? {}).map(([kind, value]) => ({
        labels: { kind },
        value,
      })),
  );
  plain('cutover_shadow_queued', 'Comparisons that wait', () => engine.status().shadow.queued);
}

const seconds = (ms: number | null): number | null => (ms === null ? null : ms / 1_000);
