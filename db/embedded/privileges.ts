/** How a server program is started: as a plain user even when we are root, and bound to its parent's life. */
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** PostgreSQL refuses to run as root, and wants its user to be in the password database. */
const USER = 'postgres';

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
}

export interface Account {
  /** Wraps a program; `orphanSignal` reaches it when its parent dies, where the system can do that. */
  launch(command: string, args: readonly string[], orphanSignal: string): Launch;
  /** Gives the path to the account. */
  own(path: string): void;
}

/** Our own account, with nothing changed but the orphan signal. */
export const sameAccount: Account = {
  launch: (command, args, orphanSignal) => wrap([], command, args, orphanSignal),
  own: () => {},
};

/**
 * The account PostgreSQL runs under: ours, or as root the user `postgres`, which is created when it is missing.
 * `mustReach` are the paths it has to get at: in a checkout below /root they need a capability.
 */
export function postgresAccount(mustReach: readonly string[]): Account {
  if (process.getuid?.() !== 0) return sameAccount;
  const { uid, gid } = findUser() ?? createUser();
  if (!hasSetpriv)
    throw new Error('as root, PostgreSQL needs the program setpriv (util-linux), or start as another user');
  const plain = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const reaches = mustReach.every((path) => succeeds('setpriv', [...plain, '--', 'test', '-x', path]));
  // The securebit keeps access(2) from ignoring the capability, with which initdb looks for its programs.
  const flags = reaches
    ? plain
    : [...plain, '--securebits=+no_setuid_fixup', '--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return {
    launch: (command, args, orphanSignal) => wrap(flags, command, args, orphanSignal),
    own: (path) => chownSync(path, uid, gid),
  };
}

/** The program's full path when it is on PATH. */
export function findOnPath(name: string): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

const hasSetpriv = findOnPath('setpriv') !== null;

function wrap(
  flags: readonly string[],
  command: string,
  args: readonly string[],
  orphanSignal: string,
): Launch {
  if (!hasSetpriv) return { command, args };
  return { command: 'setpriv', args: [...flags, `--pdeathsig=${orphanSignal}`, '--', command, ...args] };
}

function findUser(): { readonly uid: number; readonly gid: number } | null {
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, USER], { stdio: 'pipe' }).toString());
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return null;
  }
}

function createUser(): { readonly uid: number; readonly gid: number } {
  execFileSync(
    'useradd',
    ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', USER],
    {
      stdio: 'pipe',
    },
  );
  const user = findUser();
  if (user === null) throw new Error(`the system user ${USER} could not be created`);
  return user;
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
