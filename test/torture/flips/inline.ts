/** The operator's verbs in this process: for short scenarios, in which no coordinator dies. */
import { systemEnvironment } from '../../../cutover/environment.ts';
import { MODES, type Mode } from '../../../cutover/mode.ts';
import { move, readSituation, setSetting } from '../../../cutover/operator/index.ts';
import { awaitAcknowledged } from '../../../cutover/operator/instances.ts';
import { readStanding } from '../../../cutover/operator/situation.ts';
import type { OperatorContext } from '../../../cutover/operator/types.ts';
import { settingsOf, timingOf } from '../../../cutover/settings.ts';
import { SILENT } from '../../../cutover/telemetry.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';
import type { System } from '../system/system.ts';

export interface Operator {
  /** All of them, in an order in which none is refused; every instance follows them then. Throws when there is none. */
  set(settings: Readonly<Record<string, string>>): Promise<void>;
  /** Up or down to that mode; null when it was made, otherwise why not. Told of each step before anything of it is asked. */
  move(from: Mode, to: Mode, onStep?: (step: string) => void): Promise<string | null>;
  situation(): ReturnType<typeof readSituation>;
  close(): Promise<void>;
}

/** How long instances may take to follow a setting. */
const FOLLOW_MS = 60_000;

export async function openOperator(system: System): Promise<Operator> {
  const limits = { timeoutMs: 20_000, poolMax: 4 };
  const mongo = await openMongoStore({ url: system.stores.mongo.url, emailKeyPass: false, ...limits });
  const postgres = await openPostgresStore({ url: system.stores.postgres.url, ...limits });
  const context: OperatorContext = {
    stores: { mongo, postgres },
    environment: systemEnvironment(),
    telemetry: SILENT,
    report: () => {},
  };
  /** A lease is as long as its instance knows. */
  async function followed(): Promise<void> {
    const { environment } = context;
    const { record, authority } = await readStanding(context);
    const untilMs = environment.now().monotonicMs + FOLLOW_MS;
    const timing = timingOf(settingsOf(record));
    const { behind } = await awaitAcknowledged(environment, authority, record, { untilMs, timing });
    if (behind.length > 0) throw new Error(`the settings are not followed by ${behind.join(', ')}`);
  }

  return {
    async set(settings) {
      if (Object.keys(settings).length === 0) return;
      let left = Object.entries(settings);
      while (left.length > 0) {
        const refused: typeof left = [];
        const why: string[] = [];
        for (const [key, value] of left) {
          const { kind, reasons } = await setSetting(context, key, value);
          if (kind === 'done') continue;
          refused.push([key, value]);
          why.push(`${key} ${value} was refused: ${reasons.join('; ')}`);
        }
        // One may have to come after another that bounds it.
        if (refused.length === left.length) throw new Error(why.join('\n'));
        left = refused;
      }
      await followed();
    },
    async move(from, to, onStep = () => {}) {
      const direction = MODES.indexOf(to) > MODES.indexOf(from) ? 'promote' : 'rollback';
      // What a copy asks for, a verify and a snapshot, is not what these are about.
      const force = { reason: 'a scenario' };
      const request = { to, direction, force, timeoutMs: 60_000, noForeignWriters: true } as const;
      const { kind, reasons, failing } = await move(
        { ...context, report: ({ step }) => onStep(step) },
        request,
      );
      if (kind === 'done') return null;
      const gates = failing.map(({ name, found }) => `${name}: ${found}`);
      return [kind, ...reasons, ...gates].join('; ');
    },
    situation: () => readSituation(context),
    async close() {
      await Promise.allSettled([mongo.close(), postgres.close()]);
    },
  };
}
