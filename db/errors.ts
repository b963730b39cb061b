import type { Entity, Stamp } from './records.ts';

export const STORES = ['mongo', 'postgres'] as const;
export type StoreName = (typeof STORES)[number];

/** Another living user holds the normalised e-mail. */
export class EmailTaken extends Error {
  override readonly name = 'EmailTaken';
}

/** A record with this id is already there. Ids come from the caller, so this is a retry or a bug. */
export class IdTaken extends Error {
  override readonly name = 'IdTaken';
  readonly entity: Entity;
  constructor(entity: Entity) {
    super(`a ${entity} with this id exists`);
    this.entity = entity;
  }
}

/** The stored record carries a higher epoch than the writer: its authority has ended, nothing was written. */
export class StaleWrite extends Error {
  override readonly name = 'StaleWrite';
  readonly stored: Stamp;
  constructor(entity: Entity, stored: Stamp, epoch: number) {
    super(`a ${entity} was written under epoch ${stored.epoch}, after this writer's epoch ${epoch}`);
    this.stored = stored;
  }
}

/**
 * The store has seen a higher epoch than the one this apply acts under: its authority has ended. Raised at the first
 * statement that finds it out; what earlier statements of the same call applied, they applied before.
 */
export class StaleEpoch extends Error {
  override readonly name = 'StaleEpoch';
  readonly stored: number;
  constructor(stored: number, acting: number) {
    super(`the store has seen epoch ${stored}, after this apply's epoch ${acting}`);
    this.stored = stored;
  }
}

/**
 * The store did not answer in time, or at all, or does not let its user do what was asked (`forbidden`), or refuses
 * the document by a rule of the old service's (`validator`), or holds one that would not say what is to be written to it
 * (`unfaithful`); or this instance
 * may not ask it now: it cannot know who has authority (`no-record`, `store` is then null), holds no lease (`no-lease`),
 * lost it while the store worked (`lease-lost`), or too many wait at a fence (`queue-full`).
 * `outcome` is `none` only when the operation certainly left no trace; `unknown` when it may have committed.
 * The message names no host, query or value: it may be logged, while `cause` is for the debug log only.
 */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  readonly store: StoreName | null;
  readonly outcome: 'none' | 'unknown';
  readonly reason:
    | 'connect'
    | 'timeout'
    | 'connection-lost'
    | 'overloaded'
    | 'disk-full'
    | 'read-only'
    | 'forbidden'
    | 'validator'
    | 'unfaithful'
    | 'contention'
    | 'no-record'
    | 'no-lease'
    | 'lease-lost'
    | 'queue-full';
  constructor(
    store: StoreName | null,
    outcome: StoreUnavailable['outcome'],
    reason: StoreUnavailable['reason'],
    options?: ErrorOptions,
  ) {
    super(`${store ?? 'the authority'} is unavailable (${reason}); outcome: ${outcome}`, options);
    this.store = store;
    this.outcome = outcome;
    this.reason = reason;
  }
}

/**
 * A document of the old service's would not be read back as what is to be written over it, because of something in it that
 * is not this service's to change. Nothing was written.
 */
export class UnfaithfulWrite extends StoreUnavailable {
  /** Names of the fields, never a value. */
  readonly fields: readonly string[];
  constructor(entity: Entity, id: string, fields: readonly string[]) {
    super('mongo', 'none', 'unfaithful');
    this.message = `the document of ${entity} ${id} would not be read back as written: ${fields.join(', ')}`;
    this.fields = fields;
  }

  /** As a reason among others. */
  get told(): string {
    return `unfaithful: ${this.fields.join(', ')}`;
  }
}
