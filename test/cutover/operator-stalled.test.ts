/**
 * A coordinator stands still at any step and any write of any move, while another operator goes on; then it wakes. Nothing
 * that was acknowledged is lost, neither before it wakes (killed, it never does) nor after, and of what others have moved
 * it changes nothing.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readControl } from '../../cutover/control.ts';
import { authorityOf, type Mode, type Move, mirrorOf, moveBetween, otherStore } from '../../cutover/mode.ts';
import { type MoveResult, move, setSetting } from '../../cutover/operator/index.ts';
import { RULES, type Rules } from '../../cutover/protocol/rules.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import type { Repository } from '../../db/port.ts';
import { signUp } from '../contract/fixtures.ts';
import { STRUCK_STEPS } from '../torture/faults/plan.ts';
import { createWorld, FORCED, type World } from './operator-world.ts';
import { allMoves } from './support/moves.ts';
import { type Point, stalledAt } from './support/stalled.ts';

/** The worst case is no gate that would have stopped it. */
const REQUEST = { ...FORCED, timeoutMs: 120_000 };

let world: World;
let repository: Repository;
/** Users whose signup was acknowledged. */
let acknowledged: string[] = [];
/** The other operator was told that the setting is written. */
let isSet = false;
beforeEach(() => {
  world = createWorld();
});
afterEach(() => world.stop());

const run = <T>(promise: Promise<T>): Promise<T> => world.clock.run(promise);

async function begin({ from, startsMirror }: Move): Promise<void> {
  world = createWorld();
  acknowledged = [];
  isSet = false;
  const [engine] = await world.start(1, from);
  if (engine === undefined) throw new Error('one was started');
  repository = engine.repository;
  await run(setSetting(world.context, 'gate-primary-comparisons', '0'));
  await run(setSetting(world.context, 'gate-only-soak-ms', '0'));
  // A mirror that starts empty has a complete copy by the coordinator's word alone.
  if (!startsMirror) await write();
}

async function write(): Promise<void> {
  const { user } = await run(signUp(repository));
  acknowledged.push(user.id);
}

async function go(direction: Move['direction']): Promise<boolean> {
  return (await run(move(world.context, { ...REQUEST, direction }))).kind === 'done';
}

/** One move away, wherever that leads; the way back, or null where there was no way. */
async function away(): Promise<Move['direction'] | null> {
  if (await go('rollback')) return 'promote';
  return (await go('promote')) ? 'rollback' : null;
}

const MEANWHILE = {
  nothing: () => world.clock.pass(15_000),
  'a setting': async () => {
    const { kind } = await run(setSetting(world.context, 'shadow-rate', '7'));
    isSet = kind === 'done';
  },
  'a move': async () => void (await away()),
  'a move, a write and the way back': async () => {
    const back = await away();
    await write();
    if (back !== null) await go(back);
  },
} as const;
type Meanwhile = keyof typeof MEANWHILE;

/** The authority's record, and the other store's. */
async function records(): Promise<readonly [ControlRecord, ControlRecord | null]> {
  const [mongo, postgres] = [
    await run(readControl(world.stores.mongo)),
    await run(readControl(world.stores.postgres)),
  ];
  if (mongo === null) throw new Error('a system begins in MongoDB');
  const newest = postgres !== null && postgres.epoch > mongo.epoch ? postgres : mongo;
  return authorityOf(newest.mode) === 'postgres' && postgres !== null ? [postgres, mongo] : [mongo, postgres];
}

/** What is lost, or would be once the copy is relied on. */
async function lost(): Promise<readonly string[]> {
  await world.clock.pass(3_000);
  const [{ mode, copy }] = await records();
  const authority = authorityOf(mode);
  const holds = (store: 'mongo' | 'postgres', id: string) => world.stores[store].tables.user.has(id);
  const found = acknowledged.filter((id) => !holds(authority, id)).map(() => `lost in ${mode}`);
  if (copy.kind !== 'complete') return found;
  if (mirrorOf(mode) === null) return [...found, `complete without a mirror in ${mode}`];
  const missing = acknowledged.filter((id) => !holds(otherStore(authority), id));
  return [...found, ...missing.map(() => `not in a copy that counts as complete in ${mode}`)];
}

const told = (record: ControlRecord | null) => record && { ...record, revision: 0, transition: null };

interface Ended {
  readonly found: readonly string[];
  readonly mode: Mode;
}

/** All that is wrong when it stands still there. */
async function stall(
  rung: Move,
  at: Point,
  meanwhile: Meanwhile,
  rules: Rules = RULES,
): Promise<Pick<MoveResult, 'kind' | 'reasons'> & Ended> {
  await begin(rung);
  const stalled = stalledAt({ ...world.context, rules }, at);
  const moving = move(stalled.context, { ...REQUEST, direction: rung.direction });
  await run(stalled.reached);
  await MEANWHILE[meanwhile]();
  const found = (await lost()).map((what) => `asleep: ${what}`);
  const [before] = await records();
  stalled.wake();
  const { kind, reasons } = await run(moving);
  found.push(...(await lost()).map((what) => `awake: ${what}`));
  const [after, other] = await records();
  if (meanwhile.startsWith('a move') && JSON.stringify(after) !== JSON.stringify(before)) {
    found.push(`it changed ${JSON.stringify(before)} to ${JSON.stringify(after)}`);
  }
  if (isSet && after.settings['shadow-rate'] !== 7) found.push('the setting is gone');
  if (other === null || JSON.stringify(told(other)) !== JSON.stringify(told(after))) {
    found.push(`the other store tells ${JSON.stringify(other)}, not ${JSON.stringify(after)}`);
  }
  await world.stop();
  return { found: found.map((what) => `${at}: ${what}`), kind, reasons, mode: after.mode };
}

/** Where this move could stand still. */
async function pointsOf(rung: Move): Promise<readonly Point[]> {
  await begin(rung);
  const { context, points } = stalledAt(world.context, null);
  const result = await run(move(context, { ...REQUEST, direction: rung.direction }));
  expect(result).toMatchObject({ kind: 'done', after: { mode: rung.to } });
  await world.stop();
  return points;
}

const RUNGS = allMoves().map((rung) => ({ ...rung, name: `${rung.from} → ${rung.to}` }));

describe.each(RUNGS)('a coordinator that stands still in $name', (rung) => {
  it.each(Object.keys(MEANWHILE) as Meanwhile[])('while another operator does: %s', async (meanwhile) => {
    const points = await pointsOf(rung);
    // All at which the torture run strikes, too.
    const steps = STRUCK_STEPS[rung.changesAuthority ? 'change of authority' : 'flip'];
    expect(points).toEqual(expect.arrayContaining(['settle', 'gates', ...steps, 'acknowledge']));
    expect(points.filter((point) => / (asked|made)/.test(point)).length).toBeGreaterThan(1);
    const wrong: string[] = [];
    for (const point of points) {
      const { found, kind, mode, reasons } = await stall(rung, point, meanwhile);
      wrong.push(...found);
      // Nobody has decided otherwise, so it makes its move all the same.
      const isFree = meanwhile === 'nothing' || meanwhile === 'a setting';
      if (isFree && (kind !== 'done' || mode !== rung.to)) {
        wrong.push(`${point}: ${kind} in ${mode}: ${reasons.join('; ')}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

/** But up to shadow-read: the copy is stale by then, which another rule refuses. */
const UNGUARDED = RUNGS.filter(({ to, changesAuthority }) => to !== 'shadow-read' || changesAuthority);

describe('without the rule that a move is made over the record that was judged', () => {
  it.each(UNGUARDED)('$name is made over what another has decided since', async (rung) => {
    const rules = { ...RULES, isJudged: () => true };
    const at = `${authorityOf(rung.from)} asked`;
    const { found } = await stall(rung, at, 'a move, a write and the way back', rules);
    expect(found.join()).toContain('it changed');
  });
});

describe('a coordinator that stands still before it says that a copy is complete', () => {
  it('loses what was acknowledged, where that need not be the copy it looked at', async () => {
    const rung = moveBetween('mongo-only', 'dual-write') as Move;
    const rules = { ...RULES, isExpected: () => true };
    const { found } = await stall(rung, 'mongo asked, 2', 'a move, a write and the way back', rules);
    expect(found.join()).toContain('not in a copy that counts as complete');
  });
});

describe('two coordinators that stand still', () => {
  it('at a flip and before an announcement lose nothing between them', async () => {
    await begin(moveBetween('shadow-read', 'postgres-primary') as Move);
    const second = stalledAt(world.context, 'mongo asked');
    const crossing = move(second.context, REQUEST);
    await run(second.reached);
    expect(await go('rollback')).toBe(true);
    const first = stalledAt(world.context, 'mongo asked');
    const flipping = move(first.context, REQUEST);
    await run(first.reached);
    expect(await go('rollback')).toBe(true);
    await write();
    expect(await go('promote')).toBe(true);
    first.wake();
    expect(await run(flipping)).toMatchObject({ kind: 'refused', after: { mode: 'dual-write' } });
    second.wake();
    const result = await run(crossing);
    expect(result).toMatchObject({ kind: 'aborted', after: { mode: 'dual-write', epoch: 1 } });
    expect(result.reasons.join()).toContain('somebody else has changed the control record meanwhile');
    expect(await lost()).toEqual([]);
  });
});
