import { describeError } from './scrub.ts';

/** Names that hold secrets or persons, wherever a careless log call puts them. */
export const SECRET_KEYS = ['password', 'newPassword', 'currentPassword', 'confirmPassword', 'passwordHash']
  .concat(['token', 'accessToken', 'refreshToken', 'tokenHash', 'email', 'emailKey', 'secret'])
  .concat(['authorization', 'cookie', 'set-cookie']);

export const CENSOR = '[redacted]';

/** Deeper than anything worth a line, and far from the end of the stack. */
const DEPTH_MAX = 12;

const secret = new Set(SECRET_KEYS);
type Fields = Readonly<Record<string, unknown>>;
/** What has been made of each object so far, so that each is looked at once however many lead to it. */
type Seen = Map<object, unknown>;

/**
 * Censors secrets inside the objects and lists of a log entry, at any depth; errors become what describes them. By
 * hand, because the wildcard paths of pino's `redact` copy and search every entry for each path, which takes longer
 * than answering a request. What `serialized` names is left out: its serializer chooses what is shown.
 */
export function redactNested(entry: Fields, serialized: ReadonlySet<string>): Record<string, unknown> {
  const seen: Seen = new Map();
  return replace(entry, (key, value) => (serialized.has(key) ? value : redact(value, 1, seen)));
}

function redact(value: unknown, depth: number, seen: Seen): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  if (depth > DEPTH_MAX) return '[deep]';
  seen.set(value, '[circular]');
  const shown = redactObject(value, depth, seen);
  seen.set(value, shown);
  return shown;
}

function redactObject(value: object, depth: number, seen: Seen): unknown {
  if (value instanceof Error) return describeError(value);
  try {
    const form = writtenForm(value);
    if (form === null) return value;
    if (Array.isArray(form)) return redactList(form, depth, seen);
    return replace(form as Fields, (key, inner) =>
      secret.has(key) ? CENSOR : redact(inner, depth + 1, seen),
    );
  } catch {
    return '[unreadable]';
  }
}

function redactList(list: readonly unknown[], depth: number, seen: Seen): readonly unknown[] {
  const shown = list.map((item) => redact(item, depth + 1, seen));
  return shown.some((item, place) => item !== list[place]) ? shown : list;
}

/** What would be written of an object; null when that is a text or the like. */
function writtenForm(value: object): object | null {
  if (!('toJSON' in value) || typeof value.toJSON !== 'function') return value;
  const form: unknown = value.toJSON();
  return typeof form === 'object' ? form : null;
}

/** The same object unless something in it has to be replaced. */
function replace(fields: Fields, choose: (key: string, value: unknown) => unknown): Record<string, unknown> {
  let copy: Record<string, unknown> | null = null;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    const chosen = choose(key, value);
    if (chosen === value) continue;
    copy ??= { ...fields };
    copy[key] = chosen;
  }
  return copy ?? (fields as Record<string, unknown>);
}
