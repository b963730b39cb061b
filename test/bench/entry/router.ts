/**
 * The engine as the service has it, with leases, metrics, mirror and comparisons, over stores that answer at once: what
 * is left of a call is the router's own work. One engine for each mode.
 */
import pino from 'pino';
import { createEngine, type Engine } from '../../../cutover/engine.ts';
import { systemEnvironment } from '../../../cutover/environment.ts';
import { MODES, type Mode } from '../../../cutover/mode.ts';
import type { StoreName } from '../../../db/errors.ts';
import type { Repository, Store, WriteContext } from '../../../db/port.ts';
import { createMetrics } from '../../../plugins/metrics/metrics.ts';
import { createTelemetry } from '../../../plugins/repositories/telemetry.ts';
import { createMemoryStore } from '../../support/memory/store.ts';
import { type CallsRequest, timeCalls } from '../lib/calls.ts';
import { answerRequests, endWithParent } from '../lib/child.ts';

endWithParent();
process.on('SIGTERM', () => process.exit(0));

const engines = new Map<Mode, Engine>();
for (const firstMode of MODES) engines.set(firstMode, await open(firstMode));

async function open(firstMode: Mode): Promise<Engine> {
  const engine = createEngine({
    stores: { mongo: emptyStore('mongo'), postgres: emptyStore('postgres') },
    environment: systemEnvironment(),
    telemetry: createTelemetry(pino({ level: 'silent' }), createMetrics()),
    firstMode,
    retentionMs: 86_400_000,
    storeTimeoutMs: 2_000,
    digestKey: new Uint8Array(32),
  });
  await engine.start();
  const { standing, effective } = engine.status();
  if (standing !== 'serving' || effective !== firstMode) throw new Error(`${firstMode}: ${standing}`);
  return engine;
}

/** Control record and leases in memory; no records, and no time spent to say so. The mirror hears of each write. */
function emptyStore(name: StoreName): Store {
  const store = createMemoryStore({ name });
  const none = store.at({ epoch: 0, pending: false });
  const at = ({ onWrite }: WriteContext): Repository => ({
    ...none,
    findSession: async () => null,
    async revokeSession(revoked) {
      onWrite?.('session', revoked.sessionId);
      return true;
    },
  });
  return { ...store, at };
}

const sessionId = '0123456789abcdef01234567';
const now = new Date(0);
let written = 0;
/** Another record each time, as far as the mirror can tell. */
function nextId(): string {
  written = (written + 1) % 10_000;
  return written.toString(16).padStart(24, '0');
}

answerRequests<CallsRequest>(async ({ mode, kind, calls }) => {
  const repository = engines.get(mode)?.repository;
  if (repository === undefined) throw new Error(`no engine for ${mode}`);
  return timeCalls(
    calls,
    kind === 'read'
      ? () => repository.findSession(sessionId)
      : () => repository.revokeSession({ sessionId: nextId(), userId: null, reason: 'logout', now }),
  );
});
