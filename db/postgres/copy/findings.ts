/** What was found wrong, and the originals that were put aside. */
import { KEY_FIELDS } from '../../canonical/fields.ts';
import type { Entity } from '../../records.ts';
import type { Json } from '../../replica.ts';
import type { Connection, PostgresBulk } from './client.ts';

export interface BadDocument {
  readonly entity: Entity;
  readonly id: string;
  readonly field: string;
  readonly reason: string;
  /** Names and ids that belong to it, such as the ids that share an e-mail; never a value. */
  readonly detail: Json;
}

export type QuarantineState = 'held' | 'moved' | 'accepted' | 'dropped';

export interface Quarantined {
  readonly entity: Entity;
  readonly id: string;
  readonly run: string;
  readonly state: QuarantineState;
  readonly reasons: readonly { readonly field: string; readonly reason: string }[];
  readonly putAt: Date;
  readonly resolution: string | null;
}

/** To be put aside: the original as canonical extended JSON. */
export interface Original {
  readonly entity: Entity;
  readonly id: string;
  readonly reasons: readonly { readonly field: string; readonly reason: string }[];
  readonly document: string;
  /** The user whose it is; null: it does not say. */
  readonly owner: string | null;
}

/** What the resolution of a document begins with that a policy passed over. */
export const BY_POLICY = 'policy ';
/** Of a session whose user stays behind. */
export const WITH_ITS_USER = 'with its user';

type Asking = Pick<Connection, 'query'>;

export async function putFindings(
  connection: Asking,
  run: string,
  range: number | null,
  found: readonly BadDocument[],
): Promise<void> {
  if (found.length === 0) return;
  await connection.query(
    `insert into copy_findings (run, entity, record_id, field, reason, range, detail)
     select $1, entity, record_id, field, reason, $2, detail
     from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[]) as f (entity, record_id, field, reason, detail)
     on conflict do nothing`,
    [
      run,
      range,
      found.map(({ entity }) => entity),
      found.map(({ id }) => id),
      found.map(({ field }) => field),
      found.map(({ reason }) => reason),
      found.map(({ detail }) => JSON.stringify(detail)),
    ],
  );
}

/** The original as it was before this service gave it a key, by which alone it is another document. */
function unkeyed(document: string): string {
  const { ...fields }: Record<string, unknown> = JSON.parse(document);
  for (const field of KEY_FIELDS) delete fields[field];
  return JSON.stringify(fields);
}

/** Those about which an operator has decided, whether or not that still holds for the document as it is. */
export async function decidedAmong(
  connection: Asking,
  entity: Entity,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const { rows } = await connection.query<{ id: string }>(
    `select record_id as id from copy_quarantine where entity = $1 and record_id = any($2::text[])
       and state in ('accepted', 'dropped') and resolution not like '${BY_POLICY}%'`,
    [entity, [...ids]],
  );
  return new Set(rows.map(({ id }) => id));
}

/** Which of these stay behind by an operator's word: they are in nobody's way. */
export async function leftBehind(
  connection: Asking,
  originals: readonly Original[],
): Promise<ReadonlySet<string>> {
  if (originals.length === 0) return new Set();
  const unchanged = new Set(originals.map(({ id }) => id));
  for (const { id } of await unaccepted(connection, originals)) unchanged.delete(id);
  const { rows } = await connection.query<{ id: string; state: QuarantineState }>(
    `select record_id as id, state from copy_quarantine
     join unnest($1::text[], $2::text[]) as q (entity, record_id) using (entity, record_id)
     where state in ('accepted', 'dropped') and resolution not like '${BY_POLICY}%'`,
    [originals.map(({ entity }) => entity), originals.map(({ id }) => id)],
  );
  const behind = rows.filter(({ id, state }) => state === 'dropped' || unchanged.has(id));
  return new Set(behind.map(({ id }) => id));
}

/** Without those that were accepted as they are. */
async function unaccepted(connection: Asking, originals: readonly Original[]): Promise<readonly Original[]> {
  const accepted = await asPutAside(connection, originals, ['accepted']);
  return originals.filter(({ id }) => !accepted.has(id));
}

/** The ids of those that are what was put aside, in one of these states. Of one entity. */
export async function asPutAside(
  connection: Asking,
  originals: readonly Original[],
  states: readonly QuarantineState[] = ['held', 'accepted'],
): Promise<ReadonlySet<string>> {
  const { rows } = await connection.query<{ entity: Entity; id: string; document: string }>(
    `select entity, record_id as id, document from copy_quarantine
     join unnest($1::text[], $2::text[]) as q (entity, record_id) using (entity, record_id)
     where state = any($3::text[])`,
    [originals.map(({ entity }) => entity), originals.map(({ id }) => id), [...states]],
  );
  const kept = new Map(rows.map(({ id, document }) => [id, unkeyed(document)]));
  return new Set(
    originals.filter(({ id, document }) => kept.get(id) === unkeyed(document)).map(({ id }) => id),
  );
}

/** What was dropped, or accepted as it is, stays so; anything else is held anew. */
export async function putAside(
  connection: Asking,
  run: string,
  given: readonly Original[],
  now: Date,
): Promise<void> {
  if (given.length === 0) return;
  const originals = await unaccepted(connection, given);
  if (originals.length === 0) return;
  await connection.query(
    `insert into copy_quarantine as held (entity, record_id, run, state, reasons, document, put_at, owner)
     select entity, record_id, $1, 'held', reasons, document, $2, owner
     from unnest($3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[])
       as q (entity, record_id, reasons, document, owner)
     on conflict (entity, record_id) do update
     set run = excluded.run, reasons = excluded.reasons, document = excluded.document, put_at = excluded.put_at,
       owner = excluded.owner,
       state = 'held', resolved_at = null, resolution = null
     where held.state <> 'dropped'`,
    [
      run,
      now,
      originals.map(({ entity }) => entity),
      originals.map(({ id }) => id),
      originals.map(({ reasons }) => JSON.stringify(reasons)),
      originals.map(({ document }) => document),
      originals.map(({ owner }) => owner),
    ],
  );
}

export interface Resolution {
  readonly to: QuarantineState;
  readonly resolution: string;
  readonly now: Date;
  /** Whether what was put aside is to be forgotten. */
  readonly forgets?: boolean;
}

export interface Resolved {
  /** False: it was resolved before. */
  readonly isNew: boolean;
  readonly resolution: string;
  readonly resolvedAt: Date;
}

export interface Findings {
  bad(run: string, query: { readonly limit: number }): Promise<readonly BadDocument[]>;
  countBad(run: string): Promise<number>;
  quarantined(query: {
    readonly state?: QuarantineState;
    readonly limit: number;
  }): Promise<readonly Quarantined[]>;
  original(entity: Entity, id: string): Promise<string | null>;
  /** Null when it is neither held nor resolved like this already. */
  resolve(entity: Entity, id: string, how: Resolution): Promise<Resolved | null>;
  /** The sessions that are held only because their user was put aside go the same way. How many. */
  resolveSessionsOf(userId: string, how: Omit<Resolution, 'resolution'>): Promise<number>;
  /** Forgets what a run put aside and nobody has dealt with, and what its policy decided. */
  forget(run: string): Promise<void>;
}

const QUARANTINED = 'entity, record_id as id, run, state, reasons, put_at as "putAt", resolution';

export function createFindings(bulk: PostgresBulk): Findings {
  return {
    bad: (run, { limit }) =>
      bulk.query<BadDocument & Record<string, unknown>>(
        `select entity, record_id as id, field, reason, detail from copy_findings where run = $1
         order by entity, record_id, field, reason limit $2`,
        [run, limit],
      ),
    async countBad(run) {
      const rows = await bulk.query<{ count: number }>(
        `select count(distinct (entity, record_id))::int as count from copy_findings where run = $1`,
        [run],
      );
      return rows[0]?.count ?? 0;
    },
    quarantined: ({ state, limit }) =>
      bulk.query<Quarantined & Record<string, unknown>>(
        `select ${QUARANTINED} from copy_quarantine where $1::text is null or state = $1
         order by put_at, entity, record_id limit $2`,
        [state ?? null, limit],
      ),
    async original(entity, id) {
      const rows = await bulk.query<{ document: string }>(
        'select document from copy_quarantine where entity = $1 and record_id = $2',
        [entity, id],
      );
      return rows[0]?.document ?? null;
    },
    async resolve(entity, id, { to, resolution, now, forgets = false }) {
      const [resolved] = await bulk.query<Resolved & Record<string, unknown>>(
        `with fresh as (
           update copy_quarantine
           set state = $3, resolution = $4, resolved_at = $5, document = case when $6 then '' else document end
           where entity = $1 and record_id = $2 and state = 'held' returning resolution, resolved_at)
         select true as "isNew", resolution, resolved_at as "resolvedAt" from fresh
         union all
         select false, resolution, resolved_at from copy_quarantine
         where entity = $1 and record_id = $2 and state = $3 and resolution not like '${BY_POLICY}%' and resolution <> $7`,
        [entity, id, to, resolution, now, forgets, WITH_ITS_USER],
      );
      return resolved ?? null;
    },
    async resolveSessionsOf(userId, { to, now, forgets = false }) {
      const rows = await bulk.query(
        `update copy_quarantine
         set state = $2, resolution = $3, resolved_at = $4, document = case when $5 then '' else document end
         where entity = 'session' and owner = $1 and state = 'held'
           and not exists (select from jsonb_array_elements(reasons) as each where each ->> 'reason' <> 'user-put-aside')
         returning record_id`,
        [userId, to, WITH_ITS_USER, now, forgets],
      );
      return rows.length;
    },
    async forget(run) {
      await bulk.query(
        `delete from copy_quarantine where run = $1 and (state = 'held' or resolution like '${BY_POLICY}%' or resolution = $2)`,
        [run, WITH_ITS_USER],
      );
    },
  };
}
