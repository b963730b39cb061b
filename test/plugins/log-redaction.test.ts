import { Writable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { CENSOR, SECRET_KEYS } from '../../plugins/logger/redact.ts';
import { loggerOptions } from '../../plugins/logger.ts';

const SECRET = 'not-for-any-log';

function capture() {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return {
    log: pino(loggerOptions({ logLevel: 'info', logPretty: false }), stream),
    text: () => lines.join(''),
  };
}

class Document {
  readonly #fields: object;
  constructor(fields: object) {
    this.#fields = fields;
  }
  toJSON(): object {
    return this.#fields;
  }
}

describe.each(SECRET_KEYS)('%s in a log call', (key) => {
  it.each([
    ['at the top', { [key]: SECRET }],
    ['in an object', { user: { [key]: SECRET, id: 'u1' } }],
    ['in headers of an object', { answer: { headers: { [key]: SECRET, host: 'h1' } } }],
    ['in an object with a JSON form of its own', { doc: new Document({ [key]: SECRET, id: 'u1' }) }],
    ['deep in objects', { a: { b: { c: { d: { [key]: SECRET } } } } }],
    ['in lists', { users: [{ id: 'u1' }, [{ [key]: SECRET }]] }],
    ['in a list of such', { found: { docs: [new Document({ user: { [key]: SECRET } })] } }],
  ])('is censored %s', (_place, entry) => {
    const { log, text } = capture();
    log.info(entry, 'noted');
    expect(text()).not.toContain(SECRET);
    expect(text()).toContain(CENSOR);
  });

  it('is censored in the fields of a child logger', () => {
    const { log, text } = capture();
    log.child({ [key]: SECRET }).info('noted');
    expect(text()).not.toContain(SECRET);
  });
});

it('shows what leads back to itself once, and what is very deep not at all', () => {
  const { log, text } = capture();
  const user: Record<string, unknown> = { id: 'u1', email: SECRET };
  const deep: Record<string, unknown> = {};
  let end = deep;
  for (let depth = 0; depth < 100_000; depth += 1) end = end['in'] = {} as Record<string, unknown>;
  end['email'] = SECRET;
  const shared = { id: 's1' };
  log.info(
    { user: Object.assign(user, { self: user, list: [user] }), deep, both: [shared, shared] },
    'noted',
  );
  expect(text()).not.toContain(SECRET);
  expect(JSON.parse(text())).toMatchObject({
    user: { id: 'u1', email: CENSOR, self: '[circular]', list: ['[circular]'] },
    both: [shared, shared],
    msg: 'noted',
  });
});

it('shows an error anywhere by what describes it', () => {
  const { log, text } = capture();
  const failure = Object.assign(new Error('no user ada@example.test'), { detail: SECRET });
  log.error({ failures: [failure], copy: { failure } }, 'failed');
  expect(text()).not.toMatch(/ada@|not-for-any-log/);
  expect(JSON.parse(text())).toMatchObject({
    failures: [{ type: 'Error', message: 'no user [e-mail]' }],
    copy: { failure: { type: 'Error' } },
  });
});

it('writes the entry without what cannot be read', () => {
  const { log, text } = capture();
  const broken = {
    get part(): never {
      throw new Error(SECRET);
    },
    toJSON(): never {
      throw new Error(SECRET);
    },
  };
  log.info({ id: 'u1', user: { broken } }, 'noted');
  expect(text()).not.toContain(SECRET);
  expect(JSON.parse(text())).toMatchObject({ id: 'u1', user: { broken: '[unreadable]' } });
});

it('leaves everything else as it was, and the logged objects untouched', () => {
  const { log, text } = capture();
  const at = new Date(0);
  const user = { id: 'u1', email: 'a@b.example' };
  log.info({ user, at, list: [1, 2], none: null, answer: { headers: { host: 'h1' } } }, 'noted');
  expect(JSON.parse(text())).toMatchObject({
    user: { id: 'u1', email: CENSOR },
    at: at.toJSON(),
    list: [1, 2],
    none: null,
    answer: { headers: { host: 'h1' } },
    msg: 'noted',
  });
  expect(user.email).toBe('a@b.example');
});

it('shows an error by what describes it, without what hangs on to it', () => {
  const { log, text } = capture();
  log.error(
    { err: Object.assign(new Error('broken'), { token: SECRET, headers: { cookie: SECRET } }) },
    'failed',
  );
  expect(text()).not.toContain(SECRET);
  expect(JSON.parse(text()).err).toMatchObject({ type: 'Error', message: 'broken' });
});
