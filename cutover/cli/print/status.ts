/** `cutover status` for people. */
import type { InstanceStatus, NextMove, ShadowStatus, Status, StoreStatus } from '../../operator/types.ts';
import { duration } from '../../words.ts';
import { settingRows } from '../schemas.ts';
import type { Style } from '../style.ts';
import { columns, indented } from '../table.ts';
import { count, counted, moment, printable } from '../words.ts';
import { backlogWords, copyWords, failingWords, gateLines } from './state.ts';

export function statusLines(status: Status, style: Style): string[] {
  return [
    ...columns([
      ['mode', modeWords(status, style)],
      ['epoch', `${status.epoch}, revision ${status.revision}`],
      [
        'authority',
        status.authority + (status.mirror === null ? ', no mirror' : `, mirrored to ${status.mirror}`),
      ],
      ['copy', copyWords(status.copy)],
      ['transition', transitionWords(status, style)],
      ['rollback', rollbackWords(status, style)],
      ['pending', backlogWords(status.pending)],
      ['orphans', backlogWords(status.orphans)],
      ['poisoned', alarming(status.poisoned, style, 'cutover pending')],
      ['conflicts', alarming(status.conflicts, style, 'cutover conflicts')],
      ['differences', alarming(status.differences, style, 'cutover diffs')],
      ['foreign writes', foreignWords(status.foreign, style)],
      ['shadow reads', shadowWords(status.shadow)],
      ...timeoutRow(status),
      ...changedRow(status, style),
      ...ignoredRow(status, style),
    ]),
    '',
    style.strong('stores'),
    ...indented(columns(status.stores.map((store) => storeRow(store, style)))),
    '',
    style.strong('instances'),
    ...indented(
      status.instances.length === 0
        ? ['none has a lease']
        : columns(status.instances.map((instance) => instanceRow(instance, style))),
    ),
    ...status.next.flatMap((move) => ['', ...nextLines(move, style)]),
  ];
}

function modeWords({ mode, configuredMode }: Status, style: Style): string {
  const configured =
    configuredMode === null || configuredMode === mode
      ? ''
      : style.dim(`  (BACKEND_MODE says ${configuredMode}: it counts for a new system only)`);
  return style.strong(mode) + configured;
}

function transitionWords({ transition }: Status, style: Style): string {
  if (transition === null) return 'none';
  return style.warn(
    `to ${transition.target}, ${transition.phase}, id ${printable(transition.id)}; ` +
      `others leave it alone for ${duration(transition.deadlineMs)}`,
  );
}

function rollbackWords({ rollback: { to, lossless, why } }: Status, style: Style): string {
  if (to === null) return why;
  return `to ${to}: ${lossless ? style.good('lossless') : style.bad('not lossless')}, ${why}`;
}

function alarming(value: number | null, style: Style, command: string): string {
  if (value === null) return 'unknown';
  return value === 0 ? 'none' : style.bad(`${count(value)}: see \`${command}\``);
}

function foreignWords({ open, watch, unwatchedSinceMs, why }: Status['foreign'], style: Style): string {
  const sight = {
    watching: 'watched',
    unsupported: 'not watched, only verify finds them',
    none: 'not watched',
    unknown: 'unknown whether they are watched',
  }[watch];
  const reason = why === null ? '' : ` (${printable(why)})`;
  const gap =
    unwatchedSinceMs === null ? '' : style.bad(`, nobody watched since ${moment(unwatchedSinceMs)}: verify`);
  return `${alarming(open, style, 'cutover foreign')}; ${sight}${reason}${gap}`;
}

function shadowWords({ windowMs, outcomes, compared, mismatches }: ShadowStatus): string {
  const each = Object.entries(outcomes).filter(([, number]) => number > 0);
  const detail = each.map(([outcome, number]) => `${outcome} ${count(number)}`).join(', ');
  return (
    `${count(compared)} compared in ${duration(windowMs)}, ${counted(mismatches, 'mismatch').replace(/hs$/, 'hes')}` +
    (detail === '' ? '' : ` (${detail})`)
  );
}

function timeoutRow({ storeTimeoutMs }: Status): [string, string][] {
  if (storeTimeoutMs === null) return [];
  const what =
    'STORE_TIMEOUT of this command, for a connection and for a statement; instances have their own';
  return [['time-out', `${duration(storeTimeoutMs)} (${what})`]];
}

/** As `cutover set` lists them all. */
function changedRow({ settings }: Status, style: Style): [string, string][] {
  const changed = settingRows(settings).filter((each) => each.changed);
  if (changed.length === 0) return [];
  const words = changed.map(({ key, value, default: before }) => `${key} ${value} (${before})`);
  return [['changed settings', style.warn(printable(words.join(', ')))]];
}

function ignoredRow({ ignoredSettings }: Status, style: Style): [string, string][] {
  if (ignoredSettings.length === 0) return [];
  const keys = ignoredSettings.map(printable).join(', ');
  return [['settings', style.bad(`not understood, so that the defaults count: ${keys}`)]];
}

function storeRow(
  { name, configured, reachable, role, server, control, problem }: StoreStatus,
  style: Style,
): string[] {
  const state = !configured
    ? style.dim('not configured')
    : reachable
      ? style.good('reachable')
      : style.bad('unreachable');
  const record =
    control === null
      ? problem === null
        ? 'no control record'
        : style.bad(problem)
      : `${control.mode}, epoch ${control.epoch}, revision ${control.revision}`;
  return [name, role, state, server === null ? '-' : printable(server), reachable ? record : ''];
}

function instanceRow(row: InstanceStatus, style: Style): string[] {
  const state = { current: style.good, behind: style.warn, silent: style.bad }[row.state](row.state);
  return [
    printable(row.instance),
    row.host === null ? '' : printable(row.host),
    state,
    `epoch ${row.epoch}, revision ${row.revision}`,
    `incarnation ${row.incarnation}, heartbeat ${count(row.counter)}`,
    `lease ${duration(row.leaseMs)}`,
    row.reaches === null ? '' : `reaches ${row.reaches.join(', ') || 'no store'}`,
    row.p99Ms === null ? '' : `p99 ${duration(row.p99Ms)}`,
    row.acknowledged === null ? '' : `acknowledged ${printable(row.acknowledged)}`,
    row.isReadable ? '' : style.bad('its row is of another version'),
  ];
}

function nextLines({ direction, to, gates, allowed }: NextMove, style: Style): string[] {
  const verdict = allowed ? style.good('possible now') : style.bad(failingWords(gates));
  return [`${style.strong(`${direction} to ${to}`)}: ${verdict}`, ...indented(gateLines(gates, style))];
}
