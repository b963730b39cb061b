/** Installs what the service is compared with: only when the benchmark is run, only into this folder. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string }>>;
}

/** Versions of the peers, from what is installed. Throws with the end of npm's output when they cannot be had. */
export async function installPeers(log: (line: string) => void): Promise<Readonly<Record<string, string>>> {
  const wanted = versions(`${folder}package-lock.json`);
  const installed = `${folder}node_modules/.package-lock.json`;
  const missing = !existsSync(installed) || versions(installed)['better-auth'] !== wanted['better-auth'];
  if (missing) {
    log('installing better-auth for the comparison');
    await npmCi();
  }
  return versions(installed);
}

function versions(lockFile: string): Readonly<Record<string, string>> {
  const lock = JSON.parse(readFileSync(lockFile, 'utf8')) as Lock;
  const names = ['better-auth', 'pg', 'kysely'];
  return Object.fromEntries(
    names.map((name) => [name, lock.packages[`node_modules/${name}`]?.version ?? 'missing']),
  );
}

function npmCi(): Promise<void> {
  const args = ['ci', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts'];
  return new Promise((resolve, reject) => {
    const npm = spawn('npm', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], timeout: 180_000 });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk).slice(-2000);
    };
    npm.stdout.on('data', keep);
    npm.stderr.on('data', keep);
    npm.once('error', reject);
    npm.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`npm could not install better-auth:\n${output.trim()}`)),
    );
  });
}
