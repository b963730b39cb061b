/** One permitted piece of the mirror's work: from which store into which, under what authority, and until when. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import type { Replica } from '../../db/replica.ts';
import type { Breaker } from '../breaker.ts';
import type { Environment } from '../environment.ts';
import { mayPutAway } from '../history.ts';
import type { WorkPermit } from '../instance/member.ts';
import type { ControlRecord } from '../protocol/types.ts';
import type { Telemetry } from '../telemetry.ts';
import type { NoteOutage } from './outages.ts';

export interface Pass {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly authority: Store;
  readonly mirror: Store;
  readonly epoch: number;
  /** What this instance followed when the pass began. */
  readonly record: ControlRecord;
  readonly retentionMs: number;
  /** Throws `PermitEnded`. To be asked after the last read and before each plain write. */
  assertMayContinue(): void;
  /** Resolves in a moment without clients, after a while without one too, and at once when somebody waits for the mirror. */
  lull(): Promise<void>;
  /** Calls the mirror, and tells its breaker how that went. */
  callMirror<T>(call: (replica: Replica) => Promise<T>): Promise<T>;
  /** Whether what the mirror has more than the authority may go; to be asked after the authority was read. */
  mayPutAway(): Promise<boolean>;
  /** A step that takes something out of the mirror or writes to the authority; null: none may begin now, nothing was done. */
  repair<T>(step: () => Promise<T>): Promise<T | null>;
  /** This record was touched besides the work at hand: it is to be mirrored now. */
  onTouch(entity: Entity, id: string): void;
}

/** This instance may not go on with what it has begun. Nothing is lost by that: what was not finished is still marked. */
export class PermitEnded extends Error {
  override readonly name = 'PermitEnded';
}

export interface PassOptions {
  readonly environment: Environment;
  readonly telemetry: Telemetry;
  readonly authority: Store;
  readonly mirror: Store;
  readonly record: ControlRecord;
  readonly permit: WorkPermit;
  readonly breaker: Breaker;
  readonly noteOutage: NoteOutage;
  readonly retentionMs: number;
  readonly lull: () => Promise<void>;
  readonly onTouch: (entity: Entity, id: string) => void;
}

export function createPass(options: PassOptions): Pass {
  const { permit, breaker, mirror, noteOutage } = options;
  const { environment, telemetry, authority, record, retentionMs, lull, onTouch } = options;
  return {
    environment,
    telemetry,
    authority,
    mirror,
    epoch: permit.ticket.epoch,
    record,
    retentionMs,
    lull,
    onTouch,

    assertMayContinue() {
      if (!permit.mayContinue()) throw new PermitEnded('the permit has ended');
    },

    async callMirror(call) {
      try {
        const answer = await call(mirror.replica);
        breaker.succeed();
        return answer;
      } catch (error) {
        if (error instanceof StoreUnavailable) noteOutage(mirror.name, error);
        if (isOutage(error)) breaker.fail();
        else breaker.succeed();
        throw error;
      }
    },

    mayPutAway: () => mayPutAway(record, authority),

    async repair(step) {
      const begun = permit.beginRepair();
      if (begun === null) return null;
      let settled = false;
      try {
        const result = await step();
        settled = true;
        return result;
      } catch (error) {
        settled = error instanceof StoreUnavailable && error.outcome === 'none';
        throw error;
      } finally {
        if (settled) begun.settle();
        else begun.settleLater();
      }
    },
  };
}

/** As against a store that answers, if only to say no. */
function isOutage(error: unknown): boolean {
  return error instanceof StoreUnavailable && error.reason !== 'contention';
}
