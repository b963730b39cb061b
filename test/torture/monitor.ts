/**
 * Looks at both control records all the time: for the progress line, and because no more than one of them may ever
 * claim authority, and no epoch may go back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readControl } from '../../cutover/control.ts';
import { authorityOf, type Mode } from '../../cutover/mode.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import type { StoreName } from '../../db/errors.ts';
import { openMongoStore } from '../../db/mongo/store.ts';
import type { Store } from '../../db/port.ts';
import { openPostgresStore } from '../../db/postgres/store.ts';
import type { System } from './system/system.ts';

export interface Monitor {
  /** The one that counts, as far as it was seen. */
  readonly record: () => ControlRecord | null;
  readonly mode: () => Mode | null;
  readonly epoch: () => number | null;
  /** Marks in both stores; null: one could not be asked. */
  readonly pending: () => number | null;
  readonly looks: () => number;
  /** What must never be seen. */
  readonly findings: readonly string[];
  /** Both records and all marks, asked now. */
  look(): Promise<void>;
  close(): Promise<void>;
}

const EVERY_MS = 200;

export async function startMonitor(system: System): Promise<Monitor> {
  const limits = { timeoutMs: 1_000, poolMax: 2 };
  const mongo = await openMongoStore({ url: system.stores.mongo.url, emailKeyPass: false, ...limits });
  const postgres = await openPostgresStore({ url: system.stores.postgres.url, ...limits });
  const findings: string[] = [];
  const epochs: Record<StoreName, number> = { mongo: 0, postgres: 0 };
  let highest: ControlRecord | null = null;
  let pending: number | null = null;
  let looks = 0;
  let closed = false;

  const ask = <T>(question: Promise<T>): Promise<T | null> => question.catch(() => null);

  async function read(store: Store): Promise<ControlRecord | null> {
    const record = await ask(readControl(store));
    if (record === null) return null;
    if (record.epoch < epochs[store.name]) {
      findings.push(`${store.name}'s record went back to epoch ${record.epoch}`);
    }
    epochs[store.name] = Math.max(epochs[store.name], record.epoch);
    if (highest === null || record.epoch > highest.epoch) highest = record;
    else if (record.epoch === highest.epoch && record.revision >= highest.revision) highest = record;
    return record;
  }

  async function lookNow(): Promise<void> {
    // The one between the two equal looks at the other was true while the other stood still.
    const first = await read(mongo);
    const between = await read(postgres);
    const second = await read(mongo);
    if (first !== null && between !== null && second !== null && first.revision === second.revision) {
      looks += 1;
      if (authorityOf(first.mode) === 'mongo' && authorityOf(between.mode) === 'postgres') {
        findings.push(`both records claim authority: epochs ${first.epoch} and ${between.epoch}`);
      }
    }
    const marks = await Promise.all([mongo, postgres].map((store) => ask(store.replica.countMarks())));
    pending = marks.every((each) => each !== null) ? marks.reduce((sum, { count }) => sum + count, 0) : null;
  }

  /** One after the other: what one has read and another has overtaken would look like a record that went back. */
  let looking = Promise.resolve();
  const look = (): Promise<void> => {
    looking = looking.then(lookNow);
    return looking;
  };

  async function loop(): Promise<void> {
    while (!closed) {
      await look();
      await sleep(EVERY_MS);
    }
  }
  const running = loop();
  return {
    record: () => highest,
    mode: () => highest?.mode ?? null,
    epoch: () => highest?.epoch ?? null,
    pending: () => pending,
    looks: () => looks,
    findings,
    look,
    async close() {
      closed = true;
      await running;
      await Promise.allSettled([mongo.close(), postgres.close()]);
    },
  };
}
