/** A copy of the repository in which the move is over. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADDITIONS, CHANGES, REPLACEMENTS } from './changes.ts';
import { DELETIONS } from './deletions.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The working tree as it stands, without what git ignores; the folder. */
export function copyRepository(): string {
  const folder = mkdtempSync(join(tmpdir(), 'removal-'));
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of new Set(listed.split('\0').filter((name) => name !== ''))) {
    // Deleted and not committed yet.
    if (statSync(join(ROOT, file), { throwIfNoEntry: false }) === undefined) continue;
    cpSync(join(ROOT, file), join(folder, file));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Deletes, replaces and changes what the lists name. Throws, naming it, when something is not as they say. */
export function removeCutover(folder: string): void {
  for (const path of DELETIONS) rmSync(join(folder, path), { recursive: true });
  for (const file of Object.keys(REPLACEMENTS)) statSync(join(folder, file));
  for (const [file, contents] of Object.entries({ ...REPLACEMENTS, ...ADDITIONS })) {
    cpSync(fileURLToPath(new URL(contents, import.meta.url)), join(folder, file));
  }
  for (const { file, from, to } of CHANGES) {
    const [before, ...after] = readFileSync(join(folder, file), 'utf8').split(from);
    if (after.length !== 1) throw new Error(`${file} holds ${after.length} times, not once: ${from}`);
    writeFileSync(join(folder, file), `${before}${to}${after[0]}`);
  }
}
