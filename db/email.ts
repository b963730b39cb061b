/** The form of an e-mail that is unique among living users: NFC, trimmed, lower case. Idempotent. */
export function emailKey(email: string): string {
  // Lower case can undo NFC and change what counts as an edge, hence once more afterwards.
  return email.normalize('NFC').toLowerCase().normalize('NFC').trim();
}
