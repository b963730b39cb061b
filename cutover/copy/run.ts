/** What a run remembers besides its ranges: everything needed to go on with it in another process. */
import { z } from 'zod';
import { STORES } from '../../db/errors.ts';
import type { RunRow } from '../../db/postgres/copy/runs.ts';
import type { Json } from '../../db/replica.ts';
import { copySchema } from '../control.ts';
import { policySchema } from './policy.ts';
import { CopyRefused } from './types.ts';

const body = z.object({
  from: z.enum(STORES),
  onBad: z.enum(['rollback', 'quarantine']),
  dryRun: z.boolean(),
  duplicates: policySchema.nullable(),
  /** Digest of the mapping that documents are read by. */
  mapping: z.string(),
  epoch: z.number(),
  /** As the copy's state was when the run began; if it has changed in the end, the mirror was off meanwhile. */
  copy: copySchema,
  expiredBeforeMs: z.number(),
  /** Of what is staged, once all of it has been checked; null: not yet. */
  seal: z.string().nullable().default(null),
  /** What came after the ranges. */
  counts: z.record(z.string(), z.number()),
});

export type RunBody = z.infer<typeof body>;

/** To be raised when a run does something that earlier versions would not take back, so that they refuse it. */
const FORMAT = 1;
/** Runs of versions before there was a format stand by themselves; those versions find nothing of theirs in others. */
const stored = z.union([
  z.object({ format: z.literal(FORMAT), run: body }).transform(({ run }) => run),
  body,
]);

export function parseRun(run: Pick<RunRow, 'id' | 'body'>): RunBody {
  const parsed = stored.safeParse(run.body);
  if (!parsed.success) throw new CopyRefused('unknown-state', `run ${run.id} was written by another version`);
  return parsed.data;
}

export const changedByAnother = (run: string): CopyRefused =>
  new CopyRefused('unknown-state', `run ${run} was changed by another process`);

export const toBody = (run: RunBody): Json => ({ format: FORMAT, run }) as unknown as Json;
