/** Where log lines go when they cannot be written. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { createLineWriter } from '../../plugins/logger/lines.ts';
import { eventually } from '../support/wait.ts';

type Answer = Error | number;

/** A file that answers each write as told: with an error, or after so many bytes; else it takes all. */
function fileOf(...answers: Answer[]) {
  let text = '';
  const take = (bytes: Uint8Array): Answer => {
    const answer = answers.shift() ?? bytes.length;
    if (typeof answer === 'number') text += Buffer.from(bytes.subarray(0, answer)).toString();
    return answer;
  };
  const io = {
    write: (_fd: number, bytes: Uint8Array, done: (error: Error | null, count: number) => void) =>
      setImmediate(() => {
        const answer = take(bytes);
        if (typeof answer === 'number') done(null, answer);
        else done(answer, 0);
      }),
    writeSync: (_fd: number, bytes: Uint8Array) => {
      const answer = take(bytes);
      if (typeof answer === 'number') return answer;
      throw answer;
    },
  };
  return { lines: createLineWriter(1, io as never), text: () => text };
}

const failed = (code: string) => Object.assign(new Error(code), { code });
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

test('lines that come together go together, in their order', async () => {
  const { lines, text } = fileOf(3);
  for (const line of ['one\n', 'two\n', 'three\n']) lines.write(line);
  await turns(5);
  expect(text()).toBe('one\ntwo\nthree\n');
});

test('a full disk costs lines, of which the first one after it tells', async () => {
  const { lines, text } = fileOf(2, failed('ENOSPC'), failed('ENOSPC'));
  lines.write('one\n');
  await turns(3);
  lines.write('two\n');
  await turns(3);
  expect(text()).toBe('on');
  lines.write('three\n');
  await turns(3);
  const [cut, told, last] = text().split('\n');
  expect([cut, last]).toEqual(['on', 'three']);
  expect(JSON.parse(told ?? '')).toMatchObject({ level: 50, msg: '2 lines could not be written (ENOSPC)' });
  lines.write('four\n');
  await turns(3);
  expect(text()).toMatch(/three\nfour\n$/);
});

test('a pipe that is full is waited for', async () => {
  const { lines, text } = fileOf(failed('EAGAIN'));
  lines.write('one\n');
  await eventually(() => text() === 'one\n');
});

test('last words are written at once, or given up', () => {
  const { lines, text } = fileOf(3, failed('EAGAIN'));
  lines.write('one\n');
  lines.write('two\n');
  lines.flushSync();
  expect(text()).toBe('two\n');
  const full = fileOf(failed('ENOSPC'));
  full.lines.write('one\n');
  full.lines.write('two\n');
  full.lines.flushSync();
  expect(full.text()).toBe('');
});

test('a process whose log is full goes on, and ends when it says so', async () => {
  const logger = new URL('../../plugins/logger.ts', import.meta.url).href;
  const script = `
    const { createLogger } = await import(${JSON.stringify(logger)});
    const log = createLogger({ logLevel: 'info', logPretty: false });
    log.info('one');
    log.fatal('two');
    process.exit(7);`;
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', full, 'ignore'],
  });
  closeSync(full);
  onTestFinished(() => void child.kill('SIGKILL'));
  expect(await once(child, 'exit')).toEqual([7, null]);
});
