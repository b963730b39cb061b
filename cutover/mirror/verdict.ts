/** What came of trying to mirror one record. */
import type { Stamp } from '../../db/records.ts';

export type Verdict =
  /** The mirror holds it and its mark is off, or there is nothing to mirror. */
  | { readonly kind: 'done' }
  /** An operator has left it behind, and the mirror does not take it: its mark is off, for it will never be there. */
  | { readonly kind: 'left' }
  /** It has changed meanwhile, or was touched: to be looked at anew. */
  | { readonly kind: 'again' }
  /** Something else has to happen first. */
  | { readonly kind: 'later' }
  /** The mirror refuses it, or it cannot be read. The reason names a constraint, a code or a fixed word. */
  | { readonly kind: 'poison'; readonly reason: string; readonly stamp: Stamp | null }
  /** A clash that could not be resolved; it is in the notes. */
  | { readonly kind: 'conflict'; readonly stamp: Stamp };

/** Why a record waits whose mirror holds what the authority has lost. */
export const AUTHORITY_BEHIND = 'authority-behind';

export const DONE: Verdict = { kind: 'done' };
export const LEFT: Verdict = { kind: 'left' };
export const AGAIN: Verdict = { kind: 'again' };
export const LATER: Verdict = { kind: 'later' };
