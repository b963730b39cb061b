/** Who is alive, and at which revision: seen only by watching the rows move. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { type LeaseReport, NO_MAPPING, readLeases } from '../control.ts';
import type { Environment } from '../environment.ts';
import { isSilent, type Watch, watchRows } from '../protocol/silence.ts';
import type { ControlRecord, LeaseRow, Timing } from '../protocol/types.ts';
import type { InstanceStatus } from './types.ts';

export interface Watching {
  readonly rows: readonly LeaseReport[];
  readonly watch: Watch;
  /** When they were asked for, on the monotonic clock: that is how long silence is known to have lasted. */
  readonly askedMs: number;
}

const NOTHING: Watching = { rows: [], watch: {}, askedMs: Number.NEGATIVE_INFINITY };
/** Looks at the rows while waiting, within one heartbeat. */
const LOOKS_PER_HEARTBEAT = 5;
/** Stands for whoever there may be where no look was answered. */
const UNSEEN = 'an instance that could not be looked for';

/** Whether any look was answered: without an answer nobody is known of, which is not that nobody is there. */
export const isSeen = ({ askedMs }: Watching): boolean => askedMs > NOTHING.askedMs;

/** Watches the rows for that long, or until each has been seen to move. A store out of reach shows what was seen. */
export async function watchInstances(
  environment: Environment,
  store: Store,
  options: { readonly watchMs: number; readonly timing: Timing },
): Promise<Watching> {
  const until = environment.now().monotonicMs + options.watchMs;
  let watching = NOTHING;
  for (;;) {
    watching = await lookOnce(environment, store, watching);
    const { rows, watch } = watching;
    const leftMs = until - environment.now().monotonicMs;
    const isKnown = isSeen(watching) && rows.every(({ instance }) => watch[instance]?.moved === true);
    if (leftMs <= 0 || isKnown) return watching;
    await environment.sleep(Math.min(leftMs, options.timing.heartbeatMs / LOOKS_PER_HEARTBEAT));
  }
}

/**
 * Waits until every instance that is alive has acknowledged this record: its row says so, or it has been silent for a
 * lease and a margin. `expected` are waited for as long before they have a row at all: they come from another store.
 * Gives back who has not by `untilMs` of the monotonic clock, or when interrupted; somebody unnamed where nobody could be
 * looked for.
 */
export async function awaitAcknowledged(
  environment: Environment,
  store: Store,
  record: ControlRecord,
  options: {
    readonly untilMs: number;
    readonly timing: Timing;
    readonly expected?: readonly string[];
    readonly interrupted?: AbortSignal | undefined;
  },
): Promise<{ readonly watching: Watching; readonly behind: readonly string[] }> {
  const { timing, untilMs, expected = [], interrupted } = options;
  const silentMs = environment.now().monotonicMs + timing.leaseMs + timing.marginMs;
  let watching = NOTHING;
  for (;;) {
    watching = await lookOnce(environment, store, watching);
    const { rows, watch, askedMs } = watching;
    const nowMs = environment.now().monotonicMs;
    const open = rows.filter((row) => !follows(row, record) && !isSilent(watch, row, askedMs, timing));
    const missing = expected.filter(
      (id) => nowMs < silentMs && !rows.some(({ instance }) => instance === id),
    );
    const behind = [
      ...open.map(({ instance }) => instance),
      ...missing,
      ...(isSeen(watching) ? [] : [UNSEEN]),
    ];
    if (behind.length === 0 || nowMs >= untilMs || interrupted?.aborted === true) return { watching, behind };
    await environment.sleep(Math.min(timing.heartbeatMs / LOOKS_PER_HEARTBEAT, untilMs - nowMs), interrupted);
  }
}

/** As they stand, by what was seen of them. */
export function instancesOf({ rows, watch }: Watching, record: ControlRecord): readonly InstanceStatus[] {
  return rows.map((row) => {
    const { instance, epoch, revision, incarnation, counter, leaseMs, ack, isReadable } = row;
    const alive = watch[instance]?.moved === true;
    const state: InstanceStatus['state'] = !alive ? 'silent' : follows(row, record) ? 'current' : 'behind';
    const acknowledged = ack === null ? null : `${ack.phase} ${ack.id}`;
    const { host = null, reaches = null, p99Ms = null, mapping = NO_MAPPING } = row.facts ?? {};
    const said = { acknowledged, reaches, p99Ms, mapping, isReadable };
    return { instance, host, epoch, revision, incarnation, counter, state, leaseMs, ...said };
  });
}

function follows(row: LeaseRow, record: ControlRecord): boolean {
  return row.epoch === record.epoch && row.revision >= record.revision;
}

async function lookOnce(environment: Environment, store: Store, before: Watching): Promise<Watching> {
  const askedMs = environment.now().monotonicMs;
  try {
    const rows = await readLeases(store);
    return { rows, watch: watchRows(before.watch, rows, environment.now().monotonicMs), askedMs };
  } catch (error) {
    if (error instanceof StoreUnavailable) return before;
    throw error;
  }
}
