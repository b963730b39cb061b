import Fastify, { type FastifyBaseLogger } from 'fastify';
import pino from 'pino';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { StoreUnavailable } from '../../db/errors.ts';
import backgroundPlugin from '../../plugins/background.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

afterEach(() => void vi.useRealTimers());

async function started(loggerInstance?: FastifyBaseLogger) {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const app = Fastify(loggerInstance && { loggerInstance });
  await app.register(backgroundPlugin);
  onTestFinished(() => app.close());
  return app.background;
}

test('rare work first comes within two minutes, then at its pace', async () => {
  const background = await started();
  const work = vi.fn(async () => {});
  background.repeat('rare', HOUR_MS, work);
  await vi.advanceTimersByTimeAsync(MINUTE_MS - 1);
  expect(work).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(MINUTE_MS + 1);
  expect(work).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(HOUR_MS - MINUTE_MS - 1);
  expect(work).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(MINUTE_MS + 1);
  expect(work).toHaveBeenCalledTimes(2);
});

test('frequent work keeps its pace from the first on, and none comes once it is closed', async () => {
  const background = await started();
  const work = vi.fn(async () => {});
  background.repeat('frequent', 1_000, work);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(work).toHaveBeenCalledTimes(3);
  await background.close();
  await vi.advanceTimersByTimeAsync(HOUR_MS);
  expect(work).toHaveBeenCalledTimes(3);
});

test('a store that stays away is told of once, any other failure each time', async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).err.message) });
  const background = await started(log as FastifyBaseLogger);
  const away = new StoreUnavailable('postgres', 'none', 'connect');
  const ends = [away, away, null, away, new TypeError('defect'), new TypeError('defect'), away];
  const told: number[] = [];
  background.repeat('frequent', 1_000, async () => {
    const end = ends[told.length] ?? null;
    told.push(lines.length);
    if (end !== null) throw end;
  });
  await vi.advanceTimersByTimeAsync(8_000);
  expect(told).toEqual([0, 1, 1, 1, 2, 3, 4, 5]);
});
