/** Services of which a test file has dozens at once, each in a system of its own whose mode nobody changes. */
import type { FastifyInstance } from 'fastify';
import { changeControl, readControl } from '../../cutover/control.ts';

/** In this order: a lease is never shorter than two heartbeats. */
const CALM = [
  ['lease-ms', 60_000],
  ['heartbeat-ms', 5_000],
  ['poll-ms', 5_000],
] as const;

/**
 * Lets all instances of its system look at their record, and show that they live, every 5 s instead of twice a second, which
 * keeps the servers of the run busy; and a machine that stands still for seconds costs nobody the lease.
 */
export async function calmDown(app: FastifyInstance): Promise<void> {
  const { authority } = app.standing();
  const store = app.stores.find(({ name }) => name === authority);
  if (store === undefined) throw new Error('a service that serves has its authority');
  for (const [key, value] of CALM) {
    const seen = await readControl(store);
    if (seen === null) throw new Error('a service that serves has a control record');
    const decision = await changeControl(store, { kind: 'set', key, value, seen });
    if (decision.kind !== 'write') throw new Error(`${key} was not set: ${decision.kind}`);
  }
}
