/** What the log says of a request that failed: all that helps, and under load nothing that is a load itself. */
import Fastify, { LogController } from 'fastify';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import { loggerOptions } from '../../plugins/logger.ts';
import { HashingOverloaded } from '../../plugins/passwords/passwords.ts';
import errorHandler from '../../src/error-handler.ts';
import { ApiError } from '../../src/errors.ts';

/** What is logged, at info and above, when a handler throws this. */
async function linesOf(error: Error): Promise<readonly Record<string, unknown>[]> {
  const lines: string[] = [];
  const loggerInstance = pino(loggerOptions({ logLevel: 'info', logPretty: false }), {
    write: (line: string) => void lines.push(line),
  });
  const app = Fastify({ loggerInstance, logController: new LogController({ disableRequestLogging: true }) });
  onTestFinished(() => app.close());
  await app.register(errorHandler);
  app.get('/', () => Promise.reject(error));
  await app.inject('/');
  return lines.map((line) => JSON.parse(line));
}

test.each([
  [
    'a store',
    new StoreUnavailable('postgres', 'none', 'timeout', { cause: new Error('Query read timeout') }),
  ],
  ['hashing', new HashingOverloaded()],
  ['memory', new ApiError('overloaded')],
])('a request that is refused for want of %s is a warning without a stack', async (_, error) => {
  const [line, ...more] = await linesOf(error);
  expect(more).toEqual([]);
  expect(line).toMatchObject({ level: 40, msg: 'request refused', code: expect.any(String) });
  expect(JSON.stringify(line)).not.toContain(import.meta.filename);
});

test('why the store was not there is told', async () => {
  const cause = new Error('connect ECONNREFUSED 127.0.0.1:1');
  const [line] = await linesOf(new StoreUnavailable('mongo', 'none', 'connect', { cause }));
  expect(line).toMatchObject({
    code: 'store_unavailable',
    because: {
      type: 'StoreUnavailable',
      reason: 'connect',
      message: 'mongo is unavailable (connect); outcome: none',
      cause: { message: 'connect ECONNREFUSED 127.0.0.1:1' },
    },
  });
});

test('an error of ours is one, with its stack', async () => {
  const [line, ...more] = await linesOf(new TypeError('undefined is not a function'));
  expect(more).toEqual([]);
  expect(line).toMatchObject({ level: 50, msg: 'request failed', code: 'internal' });
  expect(JSON.stringify(line)).toContain(import.meta.filename);
});
