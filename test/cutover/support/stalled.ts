/**
 * An operator's process that stands still at any of its calls, as after SIGSTOP: whatever it asks for waits from there on,
 * until it is woken. Never woken, it is as good as killed.
 */
import type { OperatorContext } from '../../../cutover/operator/index.ts';
import { type StoreName, StoreUnavailable } from '../../../db/errors.ts';
import type { Store } from '../../../db/port.ts';

/** Where it may stand still: a step that it told of, or a write of a control record, `asked` for or `made` with its reply lost. */
export type Point = string;

export interface StalledProcess {
  readonly context: OperatorContext;
  /** Resolves when it stands there. */
  readonly reached: Promise<void>;
  wake(): void;
  /** All points that it has come by, in their order. */
  readonly points: readonly Point[];
}

/** Stands still at that point; null: nowhere. */
export function stalledAt(given: OperatorContext, at: Point | null): StalledProcess {
  const points: Point[] = [];
  const seen = new Map<string, number>();
  const reached = Promise.withResolvers<void>();
  const woken = Promise.withResolvers<void>();
  let standing = false;
  let isLost = false;

  /** True when it stood still here. */
  function pass(what: string): boolean {
    const times = (seen.get(what) ?? 0) + 1;
    seen.set(what, times);
    const point = times === 1 ? what : `${what}, ${times}`;
    points.push(point);
    if (point !== at) return false;
    standing = true;
    reached.resolve();
    return true;
  }
  const turn = (): Promise<void> | undefined => (standing ? woken.promise : undefined);

  function gated<T extends object>(target: T, store: StoreName): T {
    return new Proxy(target, {
      get(object, key) {
        const value: unknown = Reflect.get(object, key);
        if (key === 'tables' || key === 'name') return value;
        if (typeof value === 'object' && value !== null) return gated(value, store);
        if (typeof value !== 'function') return value;
        if (key === 'at') return (...args: unknown[]) => gated(value.apply(object, args), store);
        return (...args: unknown[]) => call(value.bind(object, ...args), store, String(key));
      },
    });
  }

  async function call(ask: () => unknown, store: StoreName, name: string): Promise<unknown> {
    const isWrite = name === 'replaceControl';
    if (isWrite) pass(`${store} asked`);
    await turn();
    const result = await ask();
    if (isWrite && result === true) isLost = pass(`${store} made`);
    const lost = isLost && isWrite;
    isLost = false;
    await turn();
    if (lost) throw new StoreUnavailable(store, 'unknown', 'timeout');
    return result;
  }

  const store = (name: StoreName): Store | null => {
    const own = given.stores[name];
    return own === null ? null : gated(own, name);
  };
  return {
    context: {
      ...given,
      stores: { mongo: store('mongo'), postgres: store('postgres') },
      environment: {
        ...given.environment,
        async sleep(ms, signal) {
          await given.environment.sleep(ms, signal);
          await turn();
        },
      },
      report: ({ step }) => void pass(step),
    },
    reached: reached.promise,
    wake() {
      standing = false;
      woken.resolve();
    },
    points,
  };
}
