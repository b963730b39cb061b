/** Takes out of a text what messages of libraries may quote: e-mails, credentials in URLs, hashes, tokens. */
export function scrub(text: string): string {
  return (
    text
      .replace(/\/\/[^\s/@]+@/g, '//[credentials]@')
      .replace(/\$2[abxy]\$[^\s"'$]*\$?[./\w]*/g, '[hash]')
      // Begins where a word does: from each of its letters it would read a long one to the end.
      .replace(/(?<![^\s<>"'`(=:,/[\]])[^\s<>"'`(=:,/[\]]+@[^\s<>"'`)/:;,\]]+/g, '[e-mail]')
      .replace(/[\w-]{32,}/g, (word) => (/\d/.test(word) && /[a-z]/i.test(word) ? '[secret]' : word))
  );
}

/** Control characters as escapes, so that no text forges a line where JSON does not do that already. */
export function onOneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export interface ErrorDescription {
  [key: string]: unknown;
  type: string;
  message: string;
  stack: string;
}

/** An error without what libraries hang on to it: rows, responses and recipients are enumerable on many. */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: 'not an Error', stack: '' };
  const { code, reason } = error as { readonly code?: unknown; readonly reason?: unknown };
  return {
    type: error.name,
    message: scrub(error.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(typeof reason === 'string' ? { reason: scrub(reason) } : {}),
    stack: scrub(error.stack ?? ''),
    ...(error.cause instanceof Error ? { cause: describeCause(error.cause) } : {}),
  };
}

const describeCause = (cause: Error) => ({ type: cause.name, message: scrub(cause.message) });
