/** Runs a verb of `cutover` as a process of its own, and reads what it says and what it needed. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Peak } from '../entry/peak.ts';

const program = fileURLToPath(new URL('../../../src/cutover.ts', import.meta.url));
const peakModule = new URL('../entry/peak.ts', import.meta.url).href;
const running = new Set<ReturnType<typeof spawn>>();

export interface VerbRun {
  readonly wallMs: number;
  readonly peak: Peak;
  /** The last line, parsed. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Throws with what the verb said when its exit code is not 0. */
export async function runVerb(
  words: readonly string[],
  urls: { readonly mongo: string; readonly postgres: string },
): Promise<VerbRun> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-verb-'));
  const peakFile = join(folder, 'peak.json');
  try {
    const startMs = performance.now();
    const child = spawn(process.execPath, ['--import', peakModule, '--', program, ...words, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'] ?? '',
        TZ: 'UTC',
        MONGO_URL: urls.mongo,
        DATABASE_URL: urls.postgres,
        BENCH_PEAK_FILE: peakFile,
      },
    });
    running.add(child);
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
    running.delete(child);
    const wallMs = performance.now() - startMs;
    if (code !== 0)
      throw new Error(
        `cutover ${words.join(' ')} ended with ${code}: ${err.slice(-1_000)}${out.slice(-1_000)}`,
      );
    const peak = JSON.parse(readFileSync(peakFile, 'utf8')) as Peak;
    return { wallMs, peak, body: JSON.parse(out.trim().split('\n').at(-1) ?? '{}') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function stopVerbs(): void {
  for (const child of running) child.kill('SIGKILL');
}
