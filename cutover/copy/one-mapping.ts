/** Documents mean what the mapping says, so whoever reads or writes them has to have the same one. */
import type { Store } from '../../db/port.ts';
import { type LeaseReport, NO_MAPPING, readLeases } from '../control.ts';
import { isSilent, type Watch, watchRows } from '../protocol/silence.ts';
import type { ControlRecord } from '../protocol/types.ts';
import { settingsOf, timingOf } from '../settings.ts';
import { CopyRefused, type CopyScope } from './types.ts';

const LOOK_MS = 100;

/** Throws `CopyRefused` when an instance that lives has another mapping. Rows that stand still are waited out. */
export async function assertOneMapping(
  { mongo, environment }: Pick<CopyScope, 'mongo' | 'environment'>,
  store: Store,
  record: ControlRecord,
): Promise<void> {
  const { digest } = mongo.codec;
  const mappingOf = ({ facts }: LeaseReport): string => facts?.mapping ?? NO_MAPPING;
  const timing = timingOf(settingsOf(record));
  let watch: Watch = {};
  for (;;) {
    const askedMs = environment.now().monotonicMs;
    const rows = (await readLeases(store)).filter((row) => mappingOf(row) !== digest);
    watch = watchRows(watch, rows, environment.now().monotonicMs);
    const alive = rows.filter(({ instance }) => watch[instance]?.moved === true);
    if (alive.length > 0) {
      const names = alive.map((row) => `${row.instance} has ${mappingOf(row)}`).join(', ');
      throw new CopyRefused('other-mapping', `the mapping here is ${digest}, and ${names}`);
    }
    if (rows.every((row) => isSilent(watch, row, askedMs, timing))) return;
    await environment.sleep(LOOK_MS);
  }
}

const INSTEAD = { backfill: 'roll it back and begin another', verify: 'begin another' } as const;

/** Throws `CopyRefused` unless a run that is gone on with was begun by this mapping. */
export function assertSameMapping(
  { mongo }: Pick<CopyScope, 'mongo'>,
  run: { readonly id: string; readonly mapping: string; readonly kind: 'backfill' | 'verify' },
): void {
  const { digest } = mongo.codec;
  if (run.mapping === digest) return;
  throw new CopyRefused(
    'other-mapping',
    `${run.kind} ${run.id} was begun with the mapping ${run.mapping}, and this one is ${digest}: ` +
      `go on with the one it was begun with, or ${INSTEAD[run.kind]}`,
  );
}
