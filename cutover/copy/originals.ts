/** Documents as they are put aside. */
import type { Codec } from '../../db/canonical.ts';
import { ID_BYTES_MAX } from '../../db/ids.ts';
import { toExtendedJson } from '../../db/mongo/copy/client.ts';
import type { RawDocument } from '../../db/mongo/copy/raw-document.ts';
import type { Connection } from '../../db/postgres/copy/client.ts';
import { decidedAmong, leftBehind, type Original } from '../../db/postgres/copy/findings.ts';
import type { Entity } from '../../db/records.ts';

export function originalOf(
  codec: Codec,
  entity: Entity,
  raw: RawDocument,
  reasons: Original['reasons'],
): Original {
  const { id, bytes } = raw;
  const owner = ownerOf(codec, entity, raw);
  // A longer one is nobody's id, and no index takes it.
  const isId = owner !== null && Buffer.byteLength(owner) <= ID_BYTES_MAX;
  return { entity, id, reasons, document: toExtendedJson(bytes), owner: isId ? owner : null };
}

/** Which of these stay behind by an operator's word: as they are, or whatever they are. */
export async function staysBehind(
  codec: Codec,
  connection: Pick<Connection, 'query'>,
  entity: Entity,
  raws: readonly RawDocument[],
): Promise<ReadonlySet<string>> {
  const decided = await decidedAmong(
    connection,
    entity,
    raws.map(({ id }) => id),
  );
  const among = raws.filter(({ id }) => decided.has(id));
  return leftBehind(
    connection,
    among.map((raw) => originalOf(codec, entity, raw, [])),
  );
}

/** The user whose it is; null: it does not say. */
function ownerOf(codec: Codec, entity: Entity, { id, doc }: RawDocument): string | null {
  if (entity === 'user') return id;
  return doc === null ? null : codec.owner(entity, doc);
}
