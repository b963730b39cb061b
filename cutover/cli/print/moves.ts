/** Plans, moves and other actions for people. */
import type {
  AbortResult,
  ActionResult,
  FailoverResult,
  Gate,
  MoveResult,
  PlanResult,
  SetResult,
  Summary,
} from '../../operator/types.ts';
import { duration } from '../../words.ts';
import type { Style } from '../style.ts';
import { indented } from '../table.ts';
import { counted, printable } from '../words.ts';
import { beforeAndAfter, failingWords, gateLines, summaryWords } from './state.ts';

const sentences = (reasons: readonly string[]): string[] => reasons.map((reason) => `- ${printable(reason)}`);

/** `promote --dry-run`. `forced`: evidence would be passed over. */
export function planLines(plan: PlanResult, style: Style, forced: boolean): string[] {
  if (plan.kind === 'refused')
    return [style.bad('refused: there is no such way'), ...sentences(plan.reasons)];
  const [first] = plan.moves;
  return [
    style.strong(`from ${plan.from} to ${plan.to}; nothing is changed now`),
    ...indented(plan.steps.map((step, at) => `${String(at + 1).padStart(2)}. ${step}`)),
    ...plan.moves.flatMap(({ from, to, gates }) => [
      '',
      `${style.strong(`gates ${from} → ${to}`)}${gates.every(({ ok }) => ok) ? '' : `: ${failingWords(gates)}`}`,
      ...indented(gateLines(gates, style)),
    ]),
    '',
    verdict(plan.allowed, first?.gates ?? [], style, forced),
  ];
}

function verdict(allowed: boolean, gates: readonly Gate[], style: Style, forced: boolean): string {
  if (allowed) return style.good('it would begin now');
  const failing = gates.filter(({ ok }) => !ok);
  if (passable(failing, forced)) {
    return style.warn(`it would begin now, past ${counted(failing.length, 'failing gate')} by --force`);
  }
  return style.bad('it would be refused now');
}

/** Whether `--force` would pass over all that fails. */
export const passable = (failing: readonly Gate[], forced: boolean): boolean =>
  forced && failing.length > 0 && failing.every(({ kind }) => kind === 'evidence');

/** What a move has come to. */
export function moveLines(result: MoveResult, style: Style): string[] {
  const { kind, before, after, made, to, failing, overridden, reasons } = result;
  const way = [before.mode, ...made.map((move) => move.to)].join(' → ');
  const headline = {
    done: style.good(made.length === 0 ? `nothing to do: it is ${before.mode}` : `done: ${way}`),
    refused: style.bad(`refused${to === null ? '' : ` on the way to ${to}`}: ${stands(made.length, way)}`),
    aborted: style.bad(`aborted${to === null ? '' : ` on the way to ${to}`}: ${stands(made.length, way)}`),
  }[kind];
  return [
    headline,
    ...beforeAndAfter(before, after),
    ...pauseLines(result),
    ...(overridden.length === 0 ? [] : ['', style.warn('passed over by --force:')]),
    ...indented(gateLines(overridden, style)),
    ...(failing.length === 0 ? [] : ['', style.strong('what is missing:')]),
    ...indented(gateLines(failing, style)),
    ...(reasons.length === 0 ? [] : ['', ...sentences(reasons)]),
  ];
}

/** Only a change of authority stops anybody. */
function pauseLines({ longestPauseMs, attempts, made }: MoveResult): string[] {
  if (longestPauseMs !== null) {
    return [`longest pause ${duration(longestPauseMs)}, ${counted(attempts, 'attempt')}`];
  }
  return made.length === 0 ? [] : ['longest pause none: no request was held up'];
}

const stands = (made: number, way: string): string =>
  made === 0 ? 'the mode is unchanged' : `${way} was done, no more`;

/** The frame of `abort` and `set`. */
function actionLines(result: ActionResult, done: string, pause: readonly string[], style: Style): string[] {
  return [
    result.kind === 'done' ? style.good(done) : style.bad('refused'),
    ...beforeAndAfter(result.before, result.after),
    ...pause,
    ...sentences(result.reasons),
  ];
}

export function abortLines(result: AbortResult, style: Style): string[] {
  const { kind, before, longestPauseMs } = result;
  const pause =
    longestPauseMs !== null
      ? `at most ${duration(longestPauseMs)}, since that attempt began`
      : before.transition?.phase === 'fenced'
        ? 'not known'
        : 'none: its fence had not been closed';
  const lines = kind === 'done' ? [`longest pause ${pause}`] : [];
  return actionLines(result, 'aborted: instances go on as before', lines, style);
}

export function setLines(result: SetResult, style: Style): string[] {
  const shown = (value: SetResult['is']): string => (value === null ? 'unset' : printable(String(value)));
  return actionLines(result, `${result.key}: ${shown(result.was)} → ${shown(result.is)}`, [], style);
}

export function failoverLines(
  { kind, before, after, longestPauseMs, reasons, loss }: FailoverResult,
  style: Style,
): string[] {
  return [
    kind === 'done' ? style.warn('done: MongoDB has authority') : style.bad('refused'),
    ...beforeAndAfter(before, after),
    ...(longestPauseMs === null
      ? []
      : [
          `longest pause ${duration(longestPauseMs)}, and the time before this verb in which PostgreSQL was lost`,
        ]),
    ...sentences(reasons),
    ...(loss.length === 0 ? [] : ['', style.strong('what is known of the loss:'), ...sentences(loss)]),
  ];
}

/** After Ctrl-C. */
export function interruptedLines(after: Summary | null, reasons: readonly string[], style: Style): string[] {
  return [style.bad('aborted by a signal'), `state  ${summaryWords(after)}`, ...sentences(reasons)];
}
