import Fastify from 'fastify';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import backgroundPlugin from '../../plugins/background.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

afterEach(() => void vi.useRealTimers());

async function started() {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const app = Fastify();
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
