/** Moves what is measured from mode to mode, as an operator does. */
import { systemEnvironment } from '../../../cutover/environment.ts';
import type { Mode } from '../../../cutover/mode.ts';
import { move } from '../../../cutover/operator/index.ts';
import type { OperatorContext } from '../../../cutover/operator/types.ts';
import { SILENT } from '../../../cutover/telemetry.ts';
import { openMongoStore } from '../../../db/mongo/store.ts';
import { openPostgresStore } from '../../../db/postgres/store.ts';
import type { InstallationOfBoth } from './service.ts';

const MOVE_TIMEOUT_MS = 60_000;

export type Moved = Awaited<ReturnType<typeof move>>;

export interface Operator {
  readonly context: OperatorContext;
  /** One attempt, whatever comes of it. `force`: past what a measurement cannot have, such as a week of soaking. */
  move(to: Mode, direction: 'promote' | 'rollback', more?: MoveOptions): Promise<Moved>;
  close(): Promise<void>;
}

export interface MoveOptions {
  readonly force?: boolean;
  readonly report?: OperatorContext['report'];
}

/** What stood in the way, in a line. */
export function whyNot({ kind, reasons, failing }: Moved): string {
  return [kind, ...reasons, ...failing.map(({ name }) => name)].join('; ');
}

export async function openOperator({ urls }: InstallationOfBoth): Promise<Operator> {
  const limits = { timeoutMs: 2_000, poolMax: 4 };
  const stores = {
    mongo: await openMongoStore({ url: urls.mongo, emailKeyPass: false, ...limits }),
    postgres: await openPostgresStore({ url: urls.postgres, ...limits }),
  };
  const context: OperatorContext = {
    stores,
    environment: systemEnvironment(),
    telemetry: SILENT,
    report: () => {},
  };
  return {
    context,
    move: (to, direction, { force = false, report = context.report } = {}) =>
      move(
        { ...context, report },
        {
          to,
          direction,
          force: force ? { reason: 'a measurement' } : null,
          timeoutMs: MOVE_TIMEOUT_MS,
          noForeignWriters: true,
        },
      ),
    async close() {
      await Promise.allSettled([stores.mongo.close(), stores.postgres.close()]);
    },
  };
}
