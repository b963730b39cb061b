/** The two stores that a comparison reads: every read bounded in time, the one that has no authority behind a breaker. */
import { type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Repository, Store } from '../../db/port.ts';
import type { Barred } from '../barred.ts';
import { createBreaker } from '../breaker.ts';
import type { Environment } from '../environment.ts';
import type { Member } from '../instance/member.ts';
import { otherStore } from '../mode.ts';
import type { Ticket } from '../protocol/admission.ts';
import type { PerStore } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';
import type { Sides } from './look.ts';
import { TooSlow, within } from './within.ts';

/** The breaker is open: not an error, since nothing was asked. */
export class KeptAway extends Error {}
/** The store that is not the authority did not answer; `cause` says how. */
export class OtherFailed extends Error {}

export interface Pair {
  readonly authority: Store;
  readonly other: Store;
  readonly sides: Sides;
  /** That of the two which reads PostgreSQL. */
  readonly postgres: Sides['authority'];
  /** A read of the port. */
  askAuthority<T>(read: (repository: Repository) => Promise<T>): Promise<T>;
  /** Whether nothing may be written to the other store. Throws as `askOther`. */
  isOtherFenced(): Promise<boolean>;
  /** Throws `KeptAway` or `OtherFailed`. */
  askOther<T>(read: (repository: Repository) => Promise<T>): Promise<T>;
}

export interface PairOptions {
  readonly stores: PerStore<Store | null>;
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly member: Member;
  readonly timeoutMs: number;
  readonly barred: Barred;
}

/** Gives the pair as it stands under a ticket; null unless both stores are configured. */
export function createPairs(options: PairOptions): (ticket: Ticket) => Pair | null {
  const { stores, environment, telemetry, member, timeoutMs, barred } = options;
  const breakers = { mongo: breakerFor('mongo'), postgres: breakerFor('postgres') };

  function breakerFor(store: StoreName) {
    return createBreaker({
      environment,
      settings: () => member.settings(),
      onChange: (to) => {
        if (to === 'open') telemetry.count('cutover_breaker_opened_total', { store, purpose: 'shadow' });
      },
    });
  }

  const bounded = <T>(work: () => Promise<T>): Promise<T> => within(environment, timeoutMs, work);

  async function guarded<T>(name: StoreName, work: () => Promise<T>): Promise<T> {
    const breaker = breakers[name];
    if (!breaker.allow()) throw new KeptAway();
    try {
      const result = await bounded(work);
      breaker.succeed();
      return result;
    } catch (error) {
      breaker.fail();
      throw new OtherFailed('the compared store failed', { cause: error });
    }
  }

  return ({ store, epoch }) => {
    const authority = stores[store];
    const other = stores[otherStore(store)];
    if (authority === null || other === null) return null;
    const reading = { epoch, pending: false };
    const sides: Sides = {
      authority: (read) => bounded(() => read(authority.replica)),
      other: (read) => guarded(other.name, () => read(other.replica)),
    };
    return {
      authority,
      other,
      sides,
      postgres: store === 'postgres' ? sides.authority : sides.other,
      isOtherFenced: () => guarded(other.name, () => barred.look(other)),
      askAuthority: (read) => bounded(() => read(authority.at(reading))),
      askOther: (read) => guarded(other.name, () => read(other.at(reading))),
    };
  };
}

/** Why a read failed, in a word. */
export function reasonOf(error: unknown): string {
  if (error instanceof StoreUnavailable) return error.reason;
  return error instanceof TooSlow ? 'timeout' : 'error';
}
