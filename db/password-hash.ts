/** Password hashes as they are stored: what no password could match is none, in either store and for whoever copies. */

/** A stored password hash, taken apart. */
export interface StoredHash {
  readonly bcrypt: string;
  readonly cost: number;
  /** The key of the pre-hash; null for plain bcrypt. */
  readonly keyVersion: string | null;
}

const KEY_VERSION = '[\\w-]{1,16}';
const VERSION_SHAPE = new RegExp(`^${KEY_VERSION}$`);
const SHAPE = new RegExp(`^(?:\\{sha384:(${KEY_VERSION})\\})?(\\$2[aby]\\$(\\d\\d)\\$[./A-Za-z0-9]{53})$`);

const COST_MIN = 4;
/** A hash of higher cost would keep a thread busy for minutes: it is taken for damaged. */
const COST_MAX = 16;

/** Letters, digits, `_` and `-`: it must not clash with the separators around it in hashes and nonces. */
export const isKeyVersion = (text: string): boolean => VERSION_SHAPE.test(text);

/** Null when no password can match it. `$2a$`, `$2b$` and `$2y$` name the same computation. */
export function parseStored(hash: string): StoredHash | null {
  const [, keyVersion = null, bcrypt = '', digits = ''] = SHAPE.exec(hash) ?? [];
  const cost = Number(digits);
  return cost >= COST_MIN && cost <= COST_MAX ? { bcrypt, cost, keyVersion } : null;
}

export const formatPreHashed = (keyVersion: string, bcrypt: string): string =>
  `{sha384:${keyVersion}}${bcrypt}`;
