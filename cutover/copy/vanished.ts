/** Rows of the mirror whose document somebody deleted while nothing was mirrored: nothing else would tell of them. */
import { decodeIds } from '../../db/ids.ts';
import { eachRaw } from '../../db/mongo/copy/scan.ts';
import { type Seen, takeOut, unstaged } from '../../db/postgres/copy/vanished.ts';
import { ENTITIES, type Entity } from '../../db/records.ts';
import { again } from './merge.ts';
import type { Pace } from './pace.ts';
import type { RunBody } from './run.ts';
import { RETENTION_MARGIN_MS } from './settle.ts';
import type { CopyScope } from './types.ts';

/** Documents that are asked for together. */
const PAGE = 200;

export interface TakeOut {
  readonly run: string;
  readonly body: RunBody;
  readonly pace: Pace;
}

/** Takes them out, before what may have their e-mails is merged. Throws `StaleEpoch`, or `CopyRefused` when it is to stop. */
export async function takeOutVanished(scope: CopyScope, { run, body, pace }: TakeOut): Promise<void> {
  const { postgres } = scope;
  const expiredBefore = new Date(body.expiredBeforeMs + RETENTION_MARGIN_MS);
  for (const entity of ENTITIES) {
    for (let after = ''; ; ) {
      if (await pace.wait()) throw pace.stopped(`resume run ${run}`);
      const page = { after, limit: PAGE, expiredBefore };
      const rows = await again(scope, () => unstaged(postgres, entity, page));
      const gone = await withoutDocument(scope, entity, rows);
      await pace.take(rows.length);
      await again(scope, () => takeOut(postgres, entity, gone, { run, epoch: body.epoch }));
      after = rows.at(-1)?.id ?? after;
      if (rows.length < PAGE) break;
    }
  }
}

/** Put aside, staying behind and new since the ranges were read: those have one. */
async function withoutDocument(
  { mongo }: CopyScope,
  entity: Entity,
  rows: readonly Seen[],
): Promise<readonly Seen[]> {
  const left = new Map(rows.map((row) => [row.id, row]));
  for await (const { id } of eachRaw(mongo, entity, decodeIds([...left.keys()]))) left.delete(id);
  return [...left.values()];
}
