/**
 * Gates, evidence and the log go by times that the operator's machine takes. Where its clock is far off, that of the
 * stores counts: a soak that one command sees must be the same for every other.
 */
import type { Store } from '../../db/port.ts';
import type { Environment } from '../environment.ts';
import type { PerStore } from '../protocol/types.ts';
import { duration } from '../words.ts';

/** Below this it may be the way to the store, and no gate asks so exactly. */
const BOUND_MS = 5_000;
/** How much longer than for the first store the second is waited for. */
const SECOND_MS = 1_000;

export interface Told {
  readonly environment: Environment;
  /** How far this machine's clock is ahead of the one that counts; 0: it counts itself. */
  readonly aheadMs: number;
}

/**
 * The environment with the stores' clock where this machine's is off. Of three clocks the one in the middle counts, so that
 * a single store whose clock is wrong changes nothing. A store that does not answer is left out.
 */
export async function askTime(
  environment: Environment,
  { mongo, postgres }: PerStore<Store | null>,
): Promise<Told> {
  const offsets: number[] = [];
  const asked = [mongo, postgres].map(async (store) => {
    if (store === null) return Promise.reject();
    offsets.push(await offsetOf(environment, store));
  });
  const second = Promise.any(asked).then(() => environment.sleep(SECOND_MS));
  await Promise.race([Promise.allSettled(asked), second.catch(() => Promise.allSettled(asked))]);
  const [first = 0, other] = offsets;
  const offsetMs = other === undefined ? first : [0, first, other].toSorted((a, b) => a - b)[1];
  if (offsetMs === undefined || Math.abs(offsetMs) < BOUND_MS) return { environment, aheadMs: 0 };
  // By the monotonic clock from here on: this machine's may be set right meanwhile.
  const fromMs = environment.date().getTime() + offsetMs - environment.now().monotonicMs;
  const date = () => new Date(Math.floor(fromMs + environment.now().monotonicMs));
  return { environment: { ...environment, date }, aheadMs: -offsetMs };
}

/** For standard error. */
export const clockNotice = (aheadMs: number): string =>
  `this machine’s clock is ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} the stores’: theirs counts`;

/** What to add to this machine's clock to have the store's. */
async function offsetOf({ date }: Environment, store: Store): Promise<number> {
  const before = date().getTime();
  const theirs = (await store.clock()).getTime();
  return theirs - (before + date().getTime()) / 2;
}
