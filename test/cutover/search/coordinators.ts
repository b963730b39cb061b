/** A coordinator and its successor, and whoever takes an attempt back. */
import { authorityOf } from '../../../cutover/mode.ts';
import { decideChange } from '../../../cutover/protocol/changes.ts';
import {
  type CoordinatorState,
  newAttempt,
  onReply,
  type Reply,
  requestOf,
  STAGES,
  type Stage,
} from '../../../cutover/protocol/coordinator.ts';
import { watchRows } from '../../../cutover/protocol/silence.ts';
import type { LeaseRow } from '../../../cutover/protocol/types.ts';
import { STORES } from '../../../db/errors.ts';
import { type Context, type Emit, mayFail, paid } from './model.ts';
import {
  CONTROL,
  COORDINATORS,
  DATA,
  type Draft,
  draftOf,
  isUp,
  OPERATIONS,
  ROWS,
  type World,
} from './world.ts';

/** The beginning of an attempt. */
export function beginStep(world: World, k: 0 | 1, context: Context): void {
  if (world[COORDINATORS[k]] !== 'idle') return;
  if (k >= context.scenario.attempts || (k === 1 && world.k0 === 'idle')) return;
  for (const store of STORES) {
    const record = world[CONTROL[store]];
    if (!isUp(world, store) || authorityOf(record.mode) !== store) continue;
    const target = record.mode === 'shadow-read' ? 'postgres-primary' : 'shadow-read';
    const attempt = newAttempt(String(k), record, target, context.timing);
    // Waiting out the silent stops nobody and decides nothing: the model lets it pass at once.
    if (attempt === null) continue;
    const rows = world[ROWS[store]].filter((row): row is LeaseRow => row !== null);
    const watch = watchRows({}, rows, 0);
    const begun = { ...attempt, stage: 'announce', watch } as const;
    if (context.reductions.attempts) beginWhole(world, k, begun, context);
    else advance(world, k, begun, context);
  }
}

/** What a coordinator under way does next; or it dies. */
export function coordinatorSteps(world: World, k: 0 | 1, context: Context): void {
  const part = world[COORDINATORS[k]];
  if (typeof part === 'string') return;
  watchStep(world, k, part, context);
  advance(world, k, part, context);
  if (mayFail(world, 'coordinator', context)) {
    const draft = paid(draftOf(world));
    draft[COORDINATORS[k]] = 'over';
    const cover = context.reductions.attempts ? 'covered' : 'counts';
    context.emit('crash', `coordinator ${k}`, draft, 'fault', cover);
  }
}

/**
 * Until the fence an attempt is noticed by nobody, and one that ends before it has left nothing: so it is as well
 * announced when it fences. The winner was told earlier, when it was up.
 */
function beginWhole(world: World, k: 0 | 1, part: CoordinatorState, context: Context): void {
  const reached: Draft[] = [];
  const emit: Emit = (_step, _who, draft, stepClass) => void (stepClass === 'choice' && reached.push(draft));
  let now = draftOf(world, { env: { ...world.env, mongoUp: true, postgresUp: true } });
  let state = part;
  while (isBefore(state, 'fence')) {
    advance(now, k, state, { ...context, emit });
    const next = reached.pop();
    const after = next?.[COORDINATORS[k]];
    if (next === undefined || after === undefined || typeof after === 'string' || after.stage === 'abort')
      return;
    context.note(state.stage, `coordinator ${k}`);
    now = next;
    state = after;
  }
  advance(draftOf(now, { env: world.env }), k, state, context);
}

/** It may look at the rows long before it depends on them, as the real one does while it waits for the silent. */
export function watchStep(world: World, k: 0 | 1, part: CoordinatorState, context: Context): void {
  if (!isBefore(part, 'await-stopped') || !isUp(world, part.loser)) return;
  const rows = world[ROWS[part.loser]].filter((row): row is LeaseRow => row !== null);
  if (rows.every((row) => part.watch[row.instance] !== undefined)) return;
  const draft = draftOf(world);
  draft[COORDINATORS[k]] = { ...part, watch: watchRows(part.watch, rows, 0) };
  context.emit('watch rows', `coordinator ${k}`, draft, 'choice');
}

export function isBefore(part: CoordinatorState, stage: Stage): boolean {
  return STAGES.indexOf(part.stage) < STAGES.indexOf(stage);
}

function put(world: World, k: 0 | 1, state: CoordinatorState, base = draftOf(world)): Draft {
  const over = state.stage === 'done' || state.stage === 'aborted';
  const record = { ...state.record, revision: 0 };
  // Once all have stopped, or are known to be silent, no row is looked at again.
  const stopped = STAGES.indexOf(state.stage) > STAGES.indexOf('await-stopped');
  const watch = stopped ? {} : state.watch;
  base[COORDINATORS[k]] = over ? 'over' : { ...state, record, watch, fencedAtMs: null, reason: null };
  return base;
}

export function advance(world: World, k: 0 | 1, part: CoordinatorState, context: Context) {
  const { emit, rules, timing } = context;
  const request = requestOf(part);
  const who = `coordinator ${k}`;
  if (request === null) return;
  if (request.kind !== 'last-check' && !isUp(world, request.store)) return;
  const told = (reply: Reply, state: CoordinatorState = part) => onReply(state, reply, 0, timing, rules);

  switch (request.kind) {
    case 'rows': {
      const rows = world[ROWS[request.store]].filter((row): row is LeaseRow => row !== null);
      const waited = rows.filter((row) => row.ack?.id !== part.transition.id);
      const next = told({ kind: 'rows', rows: waited });
      const learned =
        next.stage !== part.stage || waited.some((row) => part.watch[row.instance] === undefined);
      if (!learned) return;
      const draft = put(world, k, next);
      emit(next.stage === part.stage ? 'watch rows' : 'all stopped or silent', who, draft, 'choice');
      return;
    }
    case 'count-marks': {
      const count = world[DATA[request.store]].filter((stored) => stored?.pending === true).length;
      let next = told({ kind: 'marks', count });
      if (next.stage === part.stage) return;
      // The last check compares contents: it finds nothing that the handover check below would not.
      if (next.stage === 'last-check') next = told({ kind: 'checked', clean: true }, next);
      return emit(
        `no marks in the ${request.store === part.loser ? 'loser' : 'winner'}`,
        who,
        put(world, k, next),
        'choice',
      );
    }
    case 'control': {
      const next = told({ kind: 'control', record: world[CONTROL[request.store]] });
      return emit('the winner answers', who, put(world, k, next), 'choice');
    }
    case 'last-check':
      return;
    case 'change': {
      const key = CONTROL[request.store];
      const before = world[key];
      const decision = decideChange(request.store, before, request.change, rules);
      const draft = draftOf(world);
      if (decision.kind === 'write') draft[key] = { ...decision.record, revision: 0 };
      if (decision.kind === 'write' && request.change.kind === 'lose' && !handsOverExactly(world, part)) {
        draft.env = { ...world.env, bad: 'authority moved to a store with other contents' };
      }
      let next = told({ kind: 'change', decision });
      // Everyone having seen the announcement makes the fence short, not safe: the model does not wait for it.
      if (next.stage === 'await-announced') {
        const ack = { id: part.transition.id, phase: 'announced' } as const;
        const rows = world[ROWS[part.loser]].flatMap((row) => (row === null ? [] : [{ ...row, ack }]));
        next = told({ kind: 'rows', rows }, next);
      }
      emit(
        `${request.change.kind}${decision.kind === 'write' ? '' : ` (${decision.kind})`}`,
        `${who}, ${request.store}`,
        put(world, k, next, draftOf(draft)),
        'choice',
      );
      if (mayFail(world, 'message', context) && decision.kind === 'write') {
        emit(
          'lose the reply to a change',
          `${who}, ${request.change.kind}`,
          paid(draftOf(draft)),
          'fault',
          context.reductions.attempts ? 'covered' : 'counts',
        );
      }
    }
  }
}

/**
 * Both stores hold the same when authority is given up, save what a stray write has left behind the fence: that one is
 * no different from one that lands a moment later.
 */
function handsOverExactly(world: World, part: CoordinatorState): boolean {
  const winner = part.loser === 'mongo' ? 'postgres' : 'mongo';
  let strays = 0;
  for (const [j, key] of OPERATIONS.entries()) if (world[key].stray) strays |= 1 << j;
  return world[DATA[part.loser]].every((stored, r) => {
    const other = world[DATA[winner]][r]?.bits ?? 0;
    return (((stored?.bits ?? 0) ^ other) & ~(strays | (strays << 3))) === 0;
  });
}

/** Anyone may take an attempt back while authority has not moved; the model does not wait for its deadline. */
export function abortSteps(world: World, context: Context): void {
  for (const store of STORES) {
    const record = world[CONTROL[store]];
    if (!isUp(world, store)) continue;
    const ids = ['0', '1'].filter((id) => context.rules.abortable(record, id));
    for (const id of ids) {
      if (authorityOf(record.mode) !== store && record.transition !== null) continue;
      const decision = decideChange(store, record, { kind: 'abort', id }, context.rules);
      if (decision.kind !== 'write') continue;
      const draft = draftOf(world);
      draft[CONTROL[store]] = { ...decision.record, revision: 0 };
      // What an attempt does before authority moves only keeps others from something: without it they could do the same.
      context.emit(
        'abort',
        `${id}, ${store}`,
        draft,
        'normal',
        context.reductions.attempts ? 'never-begun' : 'counts',
      );
    }
  }
}
