/**
 * What stands in for the control record of a restored store. Whoever reads it serves nothing (`RestoredStore`), until an
 * operator clears it.
 */
import type { ControlEntry, Json } from '../../db/replica.ts';
import { epochIn, FENCED_EPOCH } from '../control.ts';

export interface Fence {
  readonly snapshot: string;
  /** False while the restore goes on, or when it did not end. */
  readonly complete: boolean;
  readonly atMs: number;
  /** The store's own record, as the snapshot has it; null: it had none. */
  readonly control: Json;
  /** The highest that any record in it may carry. */
  readonly epoch: number;
}

export function fenceEntry(fence: Fence, revision: number): ControlEntry {
  return { epoch: FENCED_EPOCH, revision, body: { restored: { ...fence } } };
}

/** The fence that this control record is; null: it is a real one. */
export function fenceOf({ epoch, body }: Pick<ControlEntry, 'epoch' | 'body'>): Fence | null {
  if (typeof body !== 'object' || body === null || !('restored' in body)) return null;
  const { restored } = body;
  if (typeof restored !== 'object' || restored === null || !('snapshot' in restored)) return null;
  const { snapshot, complete, atMs, control } = restored;
  return {
    snapshot: String(snapshot),
    complete: complete === true,
    atMs: typeof atMs === 'number' ? atMs : 0,
    control: control ?? null,
    epoch: epochIn(restored) ?? epoch,
  };
}
