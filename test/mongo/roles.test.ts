/** What db/mongo/roles.js asks of a server. None here enforces roles, so the script is run against what takes its calls. */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';

interface Role {
  readonly privileges: readonly {
    readonly resource: { readonly db: string; readonly collection: string };
    readonly actions: readonly string[];
  }[];
  readonly roles: readonly unknown[];
}

const script = readFileSync(new URL('../../db/mongo/roles.js', import.meta.url), 'utf8');

/** Runs it as mongosh would, on a database where these roles are already there. */
function run(roles: Map<string, Role>): string[] {
  const calls: string[] = [];
  const db = {
    getName: () => 'auth',
    getRole: (name: string) => roles.get(name) ?? null,
    createRole({ role, ...rest }: Role & { readonly role: string }) {
      calls.push(`create ${role}`);
      roles.set(role, rest);
    },
    updateRole(role: string, rest: Role) {
      calls.push(`update ${role}`);
      roles.set(role, rest);
    },
  };
  runInNewContext(script, { db });
  return calls;
}

const NAMES = ['auth_migration', 'auth_runtime', 'auth_backfill'];

test('makes the roles of one database, which inherit nothing, and can be run again', () => {
  const roles = new Map<string, Role>();
  expect(run(roles)).toEqual(NAMES.map((name) => `create ${name}`));
  expect(run(roles)).toEqual(NAMES.map((name) => `update ${name}`));
  for (const [name, { privileges, roles: inherited }] of roles) {
    expect(inherited, name).toHaveLength(0);
    for (const { resource } of privileges)
      expect(resource, name).toMatchObject({ db: 'auth', collection: '' });
  }
});

test('only the migration role changes indexes and collections, and none does more than the service needs', () => {
  const roles = new Map<string, Role>();
  run(roles);
  const actionsOf = (name: string) => (roles.get(name)?.privileges ?? []).flatMap(({ actions }) => actions);
  const structure = ['createCollection', 'createIndex', 'dropIndex', 'dropCollection'];
  for (const name of ['auth_runtime', 'auth_backfill']) {
    expect(actionsOf(name)).toEqual(
      expect.arrayContaining(['find', 'insert', 'update', 'remove', 'changeStream']),
    );
    expect(actionsOf(name).filter((action) => structure.includes(action))).toEqual([]);
  }
  expect(actionsOf('auth_migration')).toEqual(
    expect.arrayContaining([...actionsOf('auth_runtime'), ...structure]),
  );
  const all = NAMES.flatMap(actionsOf);
  expect(all.filter((action) => /any|grant|user|role|database|bypass|collMod/i.test(action))).toEqual([]);
});
