/** What the numbers were measured on. */

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly versions: Readonly<Record<string, string>>;
}

export function describeMachine(peers: Readonly<Record<string, string>> | null): Machine {
  const { dependencies } = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  ) as { readonly dependencies: Readonly<Record<string, string>> };
  const ours = ['fastify', 'bcryptjs', 'kysely', 'pg', 'mongoose', 'piscina'];
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    versions: {
      node: process.version,
      ...peers,
      ...Object.fromEntries(ours.map((name) => [name, dependencies[name] ?? 'missing'])),
    },
  };
}
