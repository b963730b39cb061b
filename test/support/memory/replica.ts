import { assertRaises, erasedAmong, judge, screen } from '../../../db/apply.ts';
import { StaleEpoch } from '../../../db/errors.ts';
import { compareIds } from '../../../db/ids.ts';
import {
  compareStamps,
  ENTITIES,
  type Entity,
  type RecordOf,
  type Stamp,
  type UserRecord,
} from '../../../db/records.ts';
import type { ApplyOutcome, ControlEntry, Held, Mark, Replica } from '../../../db/replica.ts';
import { type Engine, records } from './engine.ts';
import { deleteExpired } from './purge.ts';

/** `control` gives the control record as it stands within a step. */
export function createReplica(engine: Engine, control: () => ControlEntry | null): Replica {
  const { operate, tables, asides } = engine;

  function get<E extends Entity>(entity: E, id: string): Held<E> | null {
    const table: Map<string, Held<E>> = tables[entity];
    return table.get(id) ?? null;
  }

  function at<E extends Entity>(entity: E, id: string, expected: Stamp): Held<E> | null {
    const held = get(entity, id);
    return held !== null && compareStamps(held.record.stamp, expected) === 0 ? held : null;
  }

  function allMarks(): Mark[] {
    return ENTITIES.flatMap((entity) =>
      [...tables[entity].values()].flatMap(({ record: { id, stamp }, pendingAt }) =>
        pendingAt === null ? [] : [{ entity, id, stamp, markedAt: pendingAt }],
      ),
    ).sort(compareMarks);
  }

  /** What PostgreSQL's constraints would say; MongoDB takes everything but two users of one key. */
  function obstacle(entity: Entity, record: RecordOf[Entity]): ApplyOutcome | null {
    if (entity === 'user') {
      const { id, emailKey, isVerified, verifiedWith } = record as UserRecord;
      if (verifiedWith !== null && !isVerified)
        return { kind: 'refused', reason: '23514 users_verified_with' };
      const holder = records(engine, 'user').find((user) => user.id !== id && user.emailKey === emailKey);
      return emailKey !== null && holder !== undefined ? { kind: 'clash', holderId: holder.id } : null;
    }
    const needsUser = entity === 'session' && engine.store === 'postgres' && 'userId' in record;
    return needsUser && !tables.user.has(record.userId) ? { kind: 'user-missing' } : null;
  }

  function applyOne<E extends Entity>(entity: E, record: RecordOf[E]): ApplyOutcome {
    const held = get(entity, record.id);
    const outcome = held === null ? null : judge(held.record, record);
    if (held !== null && outcome?.kind === 'same' && held.pendingAt !== null) {
      engine.put(entity, record.id, { record: held.record, pendingAt: null });
    }
    if (outcome !== null) return outcome;
    const refusal = obstacle(entity, record);
    if (refusal !== null) return refusal;
    engine.put(entity, record.id, { record, pendingAt: null });
    return { kind: 'applied' };
  }

  function moveOne(entity: Entity, id: string, stamp: Stamp, reason: string, movedAt: Date): void {
    const record = get(entity, id)?.record;
    const userId = record !== undefined && 'userId' in record ? record.userId : id;
    engine.remove(entity, id);
    asides.unshift({ entity, id, stamp, reason, movedAt, userId });
  }

  return {
    read: (entity, ids) =>
      operate('read', 'read', () => ({
        found: new Map(
          ids.flatMap((id) => {
            const held = get(entity, id);
            return held === null ? [] : [[id, held] as const];
          }),
        ),
        unreadable: [],
      })),

    apply: (entity, batch, under) =>
      operate('apply', 'write', () => {
        const stored = control()?.epoch ?? 0;
        if (stored > under.epoch) throw new StaleEpoch(stored, under.epoch);
        const outcomes = batch.map((record) => screen(record, under) ?? applyOne(entity, record));
        engine.forgetKept(erasedAmong(batch, outcomes));
        return outcomes;
      }),

    marks: ({ limit, olderThan, after }) =>
      operate('marks', 'read', () =>
        allMarks()
          .filter((mark) => olderThan === undefined || mark.markedAt <= olderThan)
          .filter((mark) => after === undefined || compareMarks(mark, after) > 0)
          .slice(0, limit),
      ),

    countMarks: () =>
      operate('countMarks', 'read', () => {
        const marks = allMarks();
        return { count: marks.length, oldestAt: marks[0]?.markedAt ?? null };
      }),

    clearMarks: (marks) =>
      operate('clearMarks', 'write', () => {
        let count = 0;
        for (const { entity, id, stamp } of marks) {
          const held = at(entity, id, stamp);
          if (held === null || held.pendingAt === null) continue;
          engine.put(entity, id, { record: held.record, pendingAt: null });
          count += 1;
        }
        return count;
      }),

    touch: async (entity, id, stamps) => {
      assertRaises(stamps);
      return operate('touch', 'write', () => {
        const held = at(entity, id, stamps.expected);
        if (held === null) return false;
        const record = { ...held.record, stamp: stamps.to };
        engine.put(entity, id, { record, pendingAt: held.pendingAt ?? engine.now() });
        return true;
      });
    },

    moveAside: (entity, id, { expected, reason, now }) =>
      operate('moveAside', 'write', () => {
        if (at(entity, id, expected) === null) return false;
        moveOne(entity, id, expected, reason, now);
        const followers = entity === 'user' ? records(engine, 'session').filter((s) => s.userId === id) : [];
        for (const session of followers) moveOne('session', session.id, session.stamp, reason, now);
        return true;
      }),

    asides: ({ limit }) =>
      operate('asides', 'read', () => asides.slice(0, limit).map(({ userId: _, ...aside }) => aside)),

    forgetKept: (userIds) => operate('forgetKept', 'write', () => engine.forgetKept(userIds)),

    releaseEmailKey: (userId, { expected }) =>
      operate('releaseEmailKey', 'write', () => {
        const held = expected === null ? null : at('user', userId, expected);
        if (held === null || held.record.emailKey === null) return false;
        const record = { ...held.record, emailKey: `released ${userId}` };
        engine.put('user', userId, { ...held, record });
        return true;
      }),

    scan: (entity, { after, limit }) =>
      operate('scan', 'read', () => {
        const page = records(engine, entity)
          .filter(({ id }) => after === null || compareIds(id, after) > 0)
          .sort((a, b) => compareIds(a.id, b.id))
          .slice(0, limit);
        const next = page.length < limit ? null : (page.at(-1)?.id ?? null);
        return { records: page, unreadable: [], next };
      }),

    purge: (query) => operate('purge', 'write', () => deleteExpired(engine, query)),

    holdsUsers: () => operate('holdsUsers', 'read', () => tables.user.size > 0),

    leftBehind: (names) => operate('leftBehind', 'read', () => engine.leftBehind(names)),

    toLeaveBehind: (names) =>
      operate(
        'toLeaveBehind',
        'read',
        () =>
          new Set(
            names.map(({ entity, id }) => `${entity}/${id}`).filter((name) => engine.decided.has(name)),
          ),
      ),
  };
}

/** The longest marked first. */
function compareMarks(a: Mark, b: Mark): number {
  return (
    a.markedAt.getTime() - b.markedAt.getTime() ||
    ENTITIES.indexOf(a.entity) - ENTITIES.indexOf(b.entity) ||
    compareIds(a.id, b.id)
  );
}
