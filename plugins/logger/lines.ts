/**
 * Lines to a file descriptor, in their order, as many at a time as wait. What cannot be written is lost, and counted in the first
 * line that can: a disk that is full, or a reader that has gone, must not end the service, or hold it up.
 */
import fs from 'node:fs';

export interface LineWriter {
  /** One line, with its end. */
  write(line: string): void;
  /** What waits, at once: for the last words of a process. */
  flushSync(): void;
}

/** Characters that wait at most. */
const WAITING_MAX = 4 * 1024 * 1024;
/** A pipe that is full is tried again. */
const BUSY_MS = 50;
const BUSY_TRIES = 20;
const NEWLINE = 10;

interface Batch {
  readonly bytes: Buffer;
  readonly lines: number;
  /** How many lost ones it tells of. */
  readonly told: number;
}

const linesIn = (bytes: Buffer): number => bytes.filter((byte) => byte === NEWLINE).length;

export function createLineWriter(
  fd: number,
  { write, writeSync }: Pick<typeof fs, 'write' | 'writeSync'> = fs,
): LineWriter {
  let waiting = '';
  let count = 0;
  let underWay: Batch | null = null;
  let lost = 0;
  let why = '';
  /** The last line was cut off: the next one begins behind its end. */
  let isCut = false;

  function take(): Batch {
    const before = `${isCut ? '\n' : ''}${lost > 0 ? noteOf(lost, why) : ''}`;
    const batch = { bytes: Buffer.from(before + waiting), lines: count, told: lost };
    waiting = '';
    count = 0;
    return batch;
  }

  function begin(): void {
    if (underWay !== null || waiting === '') return;
    underWay = take();
    put(underWay.bytes);
  }

  function put(bytes: Buffer): void {
    write(fd, bytes, (error, written) => {
      if (error === null && written < bytes.length) return put(note(bytes, written));
      if (error?.code === 'EAGAIN') return void setTimeout(put, BUSY_MS, bytes);
      if (error === null) {
        note(bytes, written);
        lost -= underWay?.told ?? 0;
      } else lose(Math.min(linesIn(bytes), underWay?.lines ?? 0), error.code);
      underWay = null;
      begin();
    });
  }

  /** What is left of them. */
  function note(bytes: Buffer, written: number): Buffer {
    if (written > 0) isCut = bytes[written - 1] !== NEWLINE;
    return bytes.subarray(written);
  }

  function lose(lines: number, code = 'unknown'): void {
    lost += lines;
    why = code;
  }

  return {
    write(line) {
      if (waiting.length + line.length > WAITING_MAX) return lose(1, 'too many');
      waiting += line;
      count += 1;
      begin();
    },
    flushSync() {
      if (waiting === '') return;
      let { bytes } = take();
      for (let tries = 0; bytes.length > 0 && tries < BUSY_TRIES; ) {
        try {
          bytes = note(bytes, writeSync(fd, bytes));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
          tries += 1;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_MS);
        }
      }
    },
  };
}

function noteOf(lost: number, why: string): string {
  const msg = `${lost} lines could not be written (${why})`;
  return `${JSON.stringify({ level: 50, time: new Date().toISOString(), pid: process.pid, msg })}\n`;
}
