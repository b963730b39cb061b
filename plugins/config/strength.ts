/** Whether a secret is long and varied enough to be worth something, and not one from an example. */
const EXAMPLES =
  /change.?me|example|secret|password|placeholder|your[-_ ]|todo|insert|replace|dummy|default|12345|qwerty/i;

/** What is wrong with the secret, as the rest of a sentence; null when it will do. */
export function weakness(secret: string): string | null {
  if (secret.length < 32) return 'is shorter than 32 characters; use 32 random ones or more';
  if (new Set(secret).size < 12) return 'repeats too few characters; use random ones';
  if (EXAMPLES.test(secret)) return 'looks like an example; use random characters';
  return null;
}
