/** JSON that an operator has written: what is wrong with it is told with the place, and never with what stands there. */

export class JsonInvalid extends Error {
  override readonly name = 'JsonInvalid';
}

/** Throws `JsonInvalid`: also for a key that an object has twice, of which JSON takes the last. */
export function parseJson(given: string): unknown {
  // What some editors put before a text says only that it is UTF-8.
  const text = given.replace(/^\uFEFF/, '');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new JsonInvalid(`holds no JSON: ${problemOf((error as Error).message, text)}`);
  }
  const twice = keyTwice(text);
  if (twice !== null) throw new JsonInvalid(`${twice}: is there twice; put both together`);
  return parsed;
}

/** Not each message of the engine has a position; those without quote a few characters, by which the line can be found. */
function problemOf(message: string, text: string): string {
  const position = /position \d+( \(line \d+ column \d+\))?/.exec(message)?.[0];
  if (position !== undefined) return `look at ${position}`;
  if (message.includes('end of JSON input')) return 'look at its end';
  const token = /^Unexpected token '(.*?)', (\.\.\.)?"(.*?)"(?:\.\.\.)? is not valid JSON$/su.exec(message);
  if (token === null) return 'it is something else';
  const [, sign = '', cut, around = ''] = token;
  const at = text.indexOf(around);
  const isSure = at >= 0 && text.indexOf(around, at + 1) < 0;
  const before = text.slice(0, at + (cut === undefined ? 0 : around.indexOf(sign, AROUND)));
  return `look at the unexpected ${sign}${isSure ? ` in line ${before.split('\n').length}` : ''}`;
}

/** So many characters the engine quotes before the one that it does not expect. */
const AROUND = 10;

/** The first such key of valid JSON with the way to it; null: there is none. */
function keyTwice(text: string): string | null {
  const open: { readonly keys: Set<string> | null; at: string }[] = [];
  for (const [token, quoted, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/gs)) {
    const inner = open.at(-1);
    if (quoted === undefined) {
      if (token === '{' || token === '[') open.push({ keys: token === '{' ? new Set() : null, at: '' });
      else open.pop();
    } else if (colon !== undefined && inner !== undefined) {
      inner.at = JSON.parse(quoted) as string;
      if (inner.keys?.has(inner.at)) return open.flatMap(({ at }) => (at === '' ? [] : [at])).join('.');
      inner.keys?.add(inner.at);
    }
  }
  return null;
}
