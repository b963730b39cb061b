import type { Store } from '../../db/port.ts';
import type { Metrics } from './metrics.ts';

/** How the connections to each store are used at the moment. */
export function registerPoolGauges(metrics: Metrics, stores: readonly Store[]): void {
  metrics.gauges(
    'store_pool_connections',
    'Connections by state, and operations that wait for one',
    ['store', 'state'],
    () =>
      stores.flatMap((store) => {
        const { used, idle, waiting } = store.poolUse();
        const states = { used, idle, waiting };
        return Object.entries(states).map(([state, value]) => ({
          labels: { store: store.name, state },
          value,
        }));
      }),
  );
  metrics.gauges('store_pool_connections_max', 'Connections at most', ['store'], () =>
    stores.map((store) => ({ labels: { store: store.name }, value: store.poolUse().max })),
  );
}
