/** Installs what the service is compared with: only when the benchmark is run, only into this folder. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PEERS = ['better-auth', '@launchdarkly/node-server-sdk'];
const folder = fileURLToPath(new URL('..', import.meta.url));

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string }>>;
}

/** Versions of the peers, from what is installed. Throws with the end of npm's output when they cannot be had. */
export async function installPeers(log: (line: string) => void): Promise<Readonly<Record<string, string>>> {
  const wanted = lockedVersions();
  if (PEERS.some((name) => installedVersion(name) !== wanted[name])) {
    log(`installing ${PEERS.join(' and ')} for the comparison`);
    await npmCi();
  }
  return Object.fromEntries([...PEERS, 'pg', 'kysely'].map((name) => [name, installedVersion(name)]));
}

function lockedVersions(): Readonly<Record<string, string | undefined>> {
  const lock = JSON.parse(readFileSync(`${folder}package-lock.json`, 'utf8')) as Lock;
  return Object.fromEntries(PEERS.map((name) => [name, lock.packages[`node_modules/${name}`]?.version]));
}

function installedVersion(name: string): string {
  const file = `${folder}node_modules/${name}/package.json`;
  if (!existsSync(file)) return 'missing';
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version;
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
      code === 0 ? resolve() : reject(new Error(`npm could not install the peers:\n${output.trim()}`)),
    );
  });
}
