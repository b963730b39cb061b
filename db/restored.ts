import type { ControlEntry, Json } from './replica.ts';

/**
 * Whether this stands in for the control record of a store that was restored from a snapshot: then nothing is written to it
 * before an operator's word.
 */
export function isRestored<C extends Pick<ControlEntry, 'body'>>(
  entry: C | null,
): entry is C & { readonly body: { readonly restored: Json } } {
  const body = entry?.body;
  return typeof body === 'object' && body !== null && 'restored' in body;
}
