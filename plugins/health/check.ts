/** Whether requests should be sent here, and what is in the way when not. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { STORES } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';

export const readiness = z.object({
  status: z.enum(['ready', 'store-unavailable', 'mode-unknown', 'no-lease', 'stopping']),
  /** What is in the way, in words; null when nothing is. */
  problem: z.string().nullable(),
  /** What the environment says, and what the system is in; null: this instance cannot know, and serves nothing. */
  mode: z.object({ configured: z.string(), effective: z.string().nullable() }),
  epoch: z.number().nullable(),
  instance: z.string(),
  stores: z.array(z.object({ name: z.enum(STORES), role: z.enum(['authority', 'other']), up: z.boolean() })),
});
type Readiness = z.infer<typeof readiness>;

const PROBLEMS: Readonly<Record<Readiness['status'], string | null>> = {
  ready: null,
  stopping: 'the service is stopping',
  'store-unavailable': 'the store that has authority does not answer',
  'mode-unknown': 'the mode cannot be known',
  'no-lease': 'no lease is held: the store that has authority has not confirmed this instance',
};

export interface Health {
  check(): Promise<Readiness>;
}

/**
 * How long a store that decides nothing may take to answer before it counts as down: less than those who ask have
 * patience for, or an instance would be taken for not ready because of its mirror.
 */
const OTHER_TIMEOUT_MS = 500;
/** The same once it was down at the last look: a proxy that waits for less would drop every instance at once. */
const STILL_DOWN_MS = 50;

interface Probe {
  /** Whether it answers within that time. */
  isUp(timeoutMs: number): Promise<boolean>;
  /** Whether it did not at the last look. */
  wasDown(): boolean;
}

/** However often it is asked, a store has one ping under way; it counts as down when that takes too long. */
function createProbe(store: Store): Probe {
  let asked: Promise<boolean> | null = null;
  let down = false;
  return {
    wasDown: () => down,
    async isUp(timeoutMs) {
      asked ??= store
        .ping()
        .then(
          () => true,
          () => false,
        )
        .then((up) => {
          asked = null;
          down = !up;
          return up;
        });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(() => {
          down = true;
          resolve(false);
        }, timeoutMs);
      });
      return Promise.race([asked, late]).finally(() => clearTimeout(timer));
    },
  };
}

export function createHealth(app: FastifyInstance): Health {
  const { storeTimeoutMs } = app.config;
  const otherTimeoutMs = Math.min(storeTimeoutMs, OTHER_TIMEOUT_MS);
  const probes = app.stores.map((store) => ({ name: store.name, probe: createProbe(store) }));
  const patienceMs = (probe: Probe) => (probe.wasDown() ? STILL_DOWN_MS : otherTimeoutMs);
  async function askAll() {
    const decides = app.standing().authority;
    const states = await Promise.all(
      probes.map(async ({ name, probe }) => {
        return { name, up: await probe.isUp(name === decides ? storeTimeoutMs : patienceMs(probe)) };
      }),
    );
    return { decides, states };
  }

  return {
    async check() {
      const asked = await askAll();
      // Authority has moved meanwhile: the store that has it now was given the time of one that decides nothing.
      const { states } = asked.decides === app.standing().authority ? asked : await askAll();
      const { mode, epoch, instance, authority, serves, problem } = app.standing();
      const usable = states.some(({ name, up }) => name === authority && up);
      const status = app.shutdown.begun
        ? 'stopping'
        : serves === 'no-mode'
          ? 'mode-unknown'
          : !usable
            ? 'store-unavailable'
            : serves === 'no-lease'
              ? 'no-lease'
              : 'ready';
      return {
        status,
        problem: problem ?? PROBLEMS[status],
        mode,
        epoch,
        instance,
        stores: states.map(({ name, up }) => ({
          name,
          role: name === authority ? 'authority' : 'other',
          up,
        })),
      };
    },
  };
}
