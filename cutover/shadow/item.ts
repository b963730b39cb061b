/** A comparison on its way, from the answer that was offered to its outcome. */
import type { Repository } from '../../db/port.ts';
import type { Entity } from '../../db/records.ts';
import type { Ticket } from '../protocol/admission.ts';
import type { ReadOperation } from '../router.ts';
import type { Parts } from './reads.ts';
import type { RecordName } from './records.ts';

export interface Item {
  readonly operation: ReadOperation;
  readonly entity: Entity;
  readonly ticket: Ticket;
  /** How often it was put off. */
  readonly stage: number;
  /** False: it only follows a repair up, and counts for nothing. */
  readonly counted: boolean;
  readonly offered: () => Parts;
  readonly read: (repository: Repository) => Promise<Parts>;
  /** Of a read by id: the records that make up its answer, the one that was asked for first. Null for any other. */
  readonly byId: () => readonly RecordName[] | null;
  /** The records it has come across. */
  readonly names: readonly RecordName[];
  /** What the first look found; null before it. */
  readonly earlier: Earlier | null;
}

export interface Earlier {
  /** Since when each record that differed was marked, and which state the other store had, by `entity/id`. */
  readonly waits: ReadonlyMap<string, string>;
  /** Which answers the last look saw when no record differed. */
  readonly answers: string | null;
}
