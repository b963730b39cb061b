/**
 * Whether one history can be explained: is there an order of the operations, each at some moment between its call and
 * its answer, in which every answer is true? What has no answer may have happened at any later moment, or never.
 *
 * It walks along the history and keeps every state that could hold by then, with what each has already counted in
 * (Lowe's just-in-time linearization). When an answer leaves no state, that answer is the finding.
 */
import type { Caught, Kind, Operation } from '../history/types.ts';
import { isAlive, keyOf, NOTHING, type State } from './state.ts';
import { BEGUN, type Rules, type Step, stepsOf } from './steps.ts';

/** A state that could hold, and how far each open operation has come in it; those not begun are missing. */
interface Config {
  readonly state: State;
  readonly stages: ReadonlyMap<number, number>;
}

const DONE = -2;

export type Judgement =
  | { readonly kind: 'explained'; readonly states: readonly State[]; readonly caught: readonly Caught[] }
  | { readonly kind: 'violation'; readonly at: Operation; readonly before: readonly State[] }
  /** Too many states could hold: the history has to be shorter, or better known. */
  | { readonly kind: 'undecided'; readonly at: Operation };

export interface Limits extends Rules {
  readonly configsMax: number;
}

interface Moment {
  readonly atMs: number;
  readonly operation: Operation;
  readonly completes: boolean;
}

/** Reads of unknown outcome say nothing, and what certainly did nothing neither. */
function counts({ call, outcome }: Operation): boolean {
  if (outcome.kind === 'failed') return false;
  if (outcome.kind !== 'unknown') return true;
  return !['me', 'list', 'login', 'resend'].includes(call.kind);
}

function momentsOf(history: readonly Operation[]): readonly Moment[] {
  const moments = history.filter(counts).flatMap((operation): Moment[] => {
    const begun = { atMs: operation.invokedMs, operation, completes: false };
    const open = operation.outcome.kind === 'unknown' || operation.completedMs === null;
    return open ? [begun] : [begun, { atMs: operation.completedMs ?? 0, operation, completes: true }];
  });
  // At the same moment calls come first, which allows more.
  return moments.sort((a, b) => a.atMs - b.atMs || Number(a.completes) - Number(b.completes));
}

export function judge(history: readonly Operation[], limits: Limits): Judgement {
  const open = new Map<number, Operation>();
  const caught: Caught[] = [];
  let configs = new Map<string, Config>([['', { state: NOTHING, stages: new Map() }]]);
  for (const { operation, completes } of momentsOf(history)) {
    open.set(operation.id, operation);
    if (!completes) continue;
    const next = completed(configs, operation, open, limits);
    if (next === null) return { kind: 'undecided', at: operation };
    if (next.size === 0) return { kind: 'violation', at: operation, before: statesOf(configs) };
    open.delete(operation.id);
    const alone = [...open.values()].every(({ call }) => END_NOTHING.has(call.kind));
    const what = alone ? caughtBy(operation, configs) : null;
    if (what !== null) caught.push(what);
    configs = next;
  }
  return { kind: 'explained', states: statesOf(configs), caught };
}

/** Whoever is at one of these meanwhile gives no other reason for a refusal. */
const END_NOTHING: ReadonlySet<Kind> = new Set([
  'signup',
  'login',
  'exchange',
  'me',
  'verify',
  'resend',
  'forgot',
  'list',
]);

/** What was caught, if that is so in every state that could hold: what may have been refused for another reason shows nothing. */
function caughtBy({ call, outcome }: Operation, before: ReadonlyMap<string, Config>): Caught | null {
  if (outcome.kind !== 'refused') return null;
  const always = (holds: (state: State) => boolean): boolean =>
    [...before.values()].every(({ state }) => holds(state));
  if (call.kind === 'refresh') {
    const isReplaced = (state: State): boolean =>
      isAlive(state, call.session) && (state.sessions[call.session]?.rotation ?? 0) > call.token;
    return always(isReplaced) ? 'reuse' : null;
  }
  if (call.kind !== 'reset' || outcome.code !== 'token_invalid') return null;
  const isSuperseded = ({ account }: State): boolean =>
    account !== null && account.resetBy !== null && !call.requests.includes(account.resetBy);
  return always(isSuperseded) ? 'superseded' : null;
}

/** Every configuration in which `target` has happened; null when there are too many. */
function completed(
  configs: ReadonlyMap<string, Config>,
  target: Operation,
  open: ReadonlyMap<number, Operation>,
  limits: Limits,
): Map<string, Config> | null {
  const result = new Map<string, Config>();
  const seen = new Set(configs.keys());
  const frontier = [...configs.values()];
  for (let config = frontier.pop(); config !== undefined; config = frontier.pop()) {
    if (config.stages.get(target.id) === DONE) {
      const stages = new Map(config.stages);
      stages.delete(target.id);
      add(result, { state: config.state, stages });
      continue;
    }
    for (const next of successors(config, open, limits)) {
      const key = configKey(next);
      if (seen.has(key)) continue;
      seen.add(key);
      frontier.push(next);
    }
    if (seen.size > limits.configsMax) return null;
  }
  return result;
}

function successors(config: Config, open: ReadonlyMap<number, Operation>, rules: Rules): readonly Config[] {
  const before = keyOf(config.state);
  const next: Config[] = [];
  for (const operation of open.values()) {
    const stage = config.stages.get(operation.id) ?? BEGUN;
    if (stage === DONE) continue;
    const steps = stepsOf(config.state, operation, stage, rules);
    const idle = (step: Step): boolean => keyOf(step.state) === before;
    // A look that fits now may as well be taken now: it changes nothing for anybody else.
    const [only] = steps;
    if (only !== undefined && isLook(operation) && idle(only)) return [after(config, operation, only)];
    for (const step of steps) {
      // What may never happen need not happen without a trace.
      if (operation.outcome.kind === 'unknown' && step.next === 'done' && idle(step)) continue;
      next.push(after(config, operation, step));
    }
  }
  return next;
}

function isLook({ call }: Operation): boolean {
  return ['me', 'list', 'resend', 'final'].includes(call.kind);
}

function after({ stages }: Config, { id }: Operation, { state, next }: Step): Config {
  return { state, stages: new Map(stages).set(id, next === 'done' ? DONE : next) };
}

function add(configs: Map<string, Config>, config: Config): void {
  configs.set(configKey(config), config);
}

function configKey({ state, stages }: Config): string {
  const order = [...stages].sort(([a], [b]) => a - b).map(([id, stage]) => `${id}:${stage}`);
  return `${keyOf(state)}#${order.join(' ')}`;
}

function statesOf(configs: ReadonlyMap<string, Config>): readonly State[] {
  const states = [...configs.values()].map(({ state }) => [keyOf(state), state] as const);
  return [...new Map(states).values()];
}
