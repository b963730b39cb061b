/** Names that hold secrets or persons, wherever a careless log call puts them. */
export const SECRET_KEYS = ['password', 'newPassword', 'currentPassword', 'confirmPassword', 'passwordHash']
  .concat(['token', 'accessToken', 'refreshToken', 'tokenHash', 'email', 'emailKey', 'secret'])
  .concat(['authorization', 'cookie', 'set-cookie']);

export const CENSOR = '[redacted]';

const secret = new Set(SECRET_KEYS);
type Fields = Readonly<Record<string, unknown>>;

/**
 * Censors secrets inside the objects of a log entry, and inside their `headers`. By hand, because the wildcard paths
 * of pino's `redact` copy and search every entry for each path, which takes longer than answering a request. What
 * `serialized` names is left out: its serializer chooses what is shown.
 */
export function redactNested(entry: Fields, serialized: ReadonlySet<string>): Record<string, unknown> {
  return replace(entry, (key, value) => (serialized.has(key) ? value : redactObject(value)));
}

function redactObject(value: unknown): unknown {
  const fields = asFields(value);
  return fields === null
    ? value
    : replace(fields, (key, inner) =>
        secret.has(key) ? CENSOR : key === 'headers' ? redactHeaders(inner) : inner,
      );
}

function redactHeaders(value: unknown): unknown {
  const fields = asFields(value);
  return fields === null ? value : replace(fields, (key, inner) => (secret.has(key) ? CENSOR : inner));
}

/** What would be written of an object; null for everything else. */
function asFields(value: unknown): Fields | null {
  if (typeof value !== 'object' || value === null) return null;
  if (!('toJSON' in value) || typeof value.toJSON !== 'function') return value as Fields;
  const shown: unknown = value.toJSON();
  return typeof shown === 'object' && shown !== null ? (shown as Fields) : null;
}

/** The same object unless something in it has to be replaced. */
function replace(fields: Fields, choose: (key: string, value: unknown) => unknown): Record<string, unknown> {
  let copy: Record<string, unknown> | null = null;
  for (const key of Object.keys(fields)) {
    const chosen = choose(key, fields[key]);
    if (chosen === fields[key]) continue;
    copy ??= { ...fields };
    copy[key] = chosen;
  }
  return copy ?? (fields as Record<string, unknown>);
}
