/** Later beginnings: states the full search reaches, from which a long story is short enough to be told to its end. */
import { type Data, INSTANCES, OPERATIONS, type OperationPart, type World } from './world.ts';

/**
 * Authority has just gone to PostgreSQL, and instance 0 knows: but what it had begun under the old authority, before it
 * was stopped for long, is still on its way.
 */
export function afterFlip(
  first: World,
  operation: 0 | 1 | 2,
  phase: 'admitted' | 'sending',
  bits: number,
): World {
  const record = { ...first.cp, mode: 'postgres-primary', epoch: 2, changedBy: 'x' } as const;
  const seen = { epoch: 2, revision: 0 };
  const startedAt = { monotonicMs: 0, wallMs: 0 };
  const leaseMs = first.i0.state.lease?.leaseMs ?? 1;
  const lease = { store: 'postgres', epoch: 2, startedAt, leaseMs } as const;
  const world: { -readonly [K in keyof World]: World[K] } = {
    ...first,
    cm: record,
    cp: record,
    rp: first.rm.map((row) => (row === null ? null : { ...row, epoch: 2 })),
  };
  for (const key of INSTANCES) {
    const part = first[key];
    const following = { record, seen: { mongo: seen, postgres: seen } };
    world[key] = { ...part, state: { ...part.state, following, lease } };
  }
  const key = OPERATIONS[operation];
  const late: OperationPart = {
    ...first[key],
    phase,
    ticket: { incarnation: 0, epoch: 1, revision: 0, mode: 'shadow-read', store: 'mongo' },
    expected: phase === 'sending' ? { epoch: 1, version: 1 } : null,
    bits,
  };
  world[key] = late;
  return world;
}

/** A write that nobody was told of, left in the mirror of an earlier authority: the orphan a rollback could bring up. */
export function withOrphan(first: World): World {
  const stamp = { epoch: 1, version: 2 };
  const dp: Data = first.dp.map((stored, r) =>
    stored !== null && r === 0 ? { stamp, bits: 64, pending: true } : stored,
  );
  return { ...first, dp };
}
