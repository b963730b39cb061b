/** What a chunk from a client says, as far as faults have to know. One message starts at the start of a chunk. */

/** In PostgreSQL's protocol: Query, Parse, Bind, Execute. A password or the start of a connection is none of them. */
const POSTGRES_STATEMENT = new Set(['Q', 'P', 'B', 'E']);

/** Commands by which a MongoDB driver looks after its connections. */
const MONGO_HOUSEKEEPING = new Set([
  'hello',
  'ismaster',
  'isMaster',
  'ping',
  'saslStart',
  'saslContinue',
  'endSessions',
]);
const OP_MSG = 2013;
/** The old form, in which a driver says its first hello. */
const OP_QUERY = 2004;

/** Asks the server to read or write something, in either protocol; what only keeps a connection going does not. */
export function isStatement(sent: Buffer): boolean {
  const command = mongoCommand(sent);
  if (command !== null) return !MONGO_HOUSEKEEPING.has(command);
  if (sent.length >= 16 && sent.readInt32LE(12) === OP_QUERY) return false;
  return POSTGRES_STATEMENT.has(String.fromCharCode(sent[0] ?? 0));
}

/** The end of a PostgreSQL transaction. A statement outside one commits by itself: match what it carries instead. */
export function isPostgresCommit(sent: Buffer): boolean {
  return sent[0] === 'Q'.charCodeAt(0) && /^commit\0/i.test(sent.toString('latin1', 5));
}

/** A MongoDB command that writes. */
export function isMongoWrite(sent: Buffer): boolean {
  return ['insert', 'update', 'delete', 'findAndModify'].includes(mongoCommand(sent) ?? '');
}

/** Tables, and the collections of the default mapping. */
const RECORDS = ['users', 'verification_tokens', 'password_reset_tokens', 'sessions'];
const POSTGRES_RECORD_WRITE = new RegExp(`(insert into|update) "(${RECORDS.join('|')})"`, 'i');

/** Writes what clients own, or commits it, in either protocol; what an instance writes of itself alone is none. */
export function isRecordWrite(sent: Buffer, sql: string | null): boolean {
  if (mongoCommand(sent) !== null) return isMongoWrite(sent) && RECORDS.includes(collectionOf(sent) ?? '');
  return isPostgresCommit(sent) || (sql !== null && POSTGRES_RECORD_WRITE.test(sql));
}

/**
 * Follows one client's prepared statements: given each of its chunks in order, the text of the statement that it runs; null
 * when it runs none in PostgreSQL's extended protocol.
 */
export function createSqlReader(): (sent: Buffer) => string | null {
  const texts = new Map<string, string>();
  return (sent) => {
    const kind = String.fromCharCode(sent[0] ?? 0);
    if (kind !== 'P' && kind !== 'B') return null;
    const [first = '', second = ''] = sent.toString('latin1', 5).split('\0', 2);
    if (kind === 'B') return texts.get(second) ?? null;
    texts.set(first, second);
    return second;
  };
}

/** A statement that carries this text, such as a token's hash, an e-mail or an id, in either protocol. */
export function carries(text: string): (sent: Buffer) => boolean {
  const binary = /^[0-9a-f]{24}$/.test(text) ? Buffer.from(text, 'hex') : null;
  return (sent) => isStatement(sent) && (sent.includes(text) || (binary !== null && sent.includes(binary)));
}

/** The name of the command that an OP_MSG holds; null when the chunk starts with none. */
export function mongoCommand(sent: Buffer): string | null {
  if (sent.length < 27 || sent.readInt32LE(12) !== OP_MSG || sent[20] !== 0) return null;
  const end = sent.indexOf(0, 26);
  return end < 0 ? null : sent.toString('latin1', 26, end);
}

/** The collection it is about: the value of the command's own field, a string. */
function collectionOf(sent: Buffer): string | null {
  const end = sent.indexOf(0, 26);
  if (end < 0 || sent[25] !== 0x02 || sent.length < end + 5) return null;
  const length = sent.readInt32LE(end + 1);
  return sent.toString('utf8', end + 5, end + 4 + length);
}
