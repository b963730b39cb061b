/** What no single entry of a mapping can tell: entries that contradict each other. Pure. */
import type { Entity } from '../records.ts';
import type { FlagForm, FlagSource, Mapping } from './mapping.ts';

/** One line per problem, as a validation says it. */
export function clashes(mapping: Mapping, entities: readonly Entity[]): readonly string[] {
  const { user } = mapping;
  const written = (entries: Readonly<Record<string, string | undefined>>, where: string) =>
    overlaps(entries).map(
      ([a, b]) => `${where}.${b}: is written to the same place as ${a}; each needs a place of its own`,
    );
  const token = ({ userId, token: text, createdAt, expiresAt }: Mapping['resetToken']) => ({
    userId: userId.from[0],
    token: text[0],
    createdAt: createdAt.from[0],
    expiresAt: expiresAt.from[0],
  });
  const owned = {
    email: user.email[0],
    name: user.name[0],
    passwordHash: user.passwordHash[0],
    isVerified: user.isVerified.from[0]?.path,
    createdAt: user.createdAt.from[0],
    updatedAt: user.updatedAt.from[0],
    deletedAt: user.deletedAt.from[0],
  };
  return [
    ...entities.flatMap((entity, place) =>
      entities
        .slice(0, place)
        .filter((other) => mapping.collections[other] === mapping.collections[entity])
        .map((other) => `collections.${entity}: is the collection of ${other} too; each needs its own`),
    ),
    ...written(owned, 'user'),
    ...shownPasswords(mapping),
    ...written(token(mapping.verificationToken), 'verificationToken'),
    ...written(token(mapping.resetToken), 'resetToken'),
    ...flagProblems(user.isVerified.from, user.isVerified.as),
    ...conditionProblems(mapping, owned),
  ];
}

/** Pairs of which one is the other, or lies in it. */
function overlaps(entries: Readonly<Record<string, string | undefined>>): readonly [string, string][] {
  const list = Object.entries(entries).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return list.flatMap(([b, path], place) =>
    list
      .slice(0, place)
      .filter(([, other]) => lies(path, other) || lies(other, path))
      .map(([a]): [string, string] => [a, b]),
  );
}

const lies = (path: string, inside: string): boolean => path === inside || path.startsWith(`${inside}.`);

/** What is read for a name is shown: a hash must never be, nor a password that is none. */
function shownPasswords({ user }: Mapping): readonly string[] {
  const { email, name, nameParts, passwordHash } = user;
  return Object.entries({ email, name, nameParts }).flatMap(([field, paths]) =>
    paths.flatMap((path, place) =>
      passwordHash.some((other) => lies(path, other))
        ? [`user.${field}.${place}: is where passwordHash is read from, which nobody may be shown`]
        : [],
    ),
  );
}

function flagProblems(sources: readonly FlagSource[], as: FlagForm): readonly string[] {
  const where = 'user.isVerified';
  return sources.flatMap((source, place) => {
    const problems: string[] = [];
    const { not, in: among, write } = source;
    if (not && among !== null) problems.push(`${where}.from.${place}: must have only one of not and in`);
    if (write !== null && among === null) problems.push(`${where}.from.${place}.write: only goes with in`);
    if (write !== null && among !== null && (!among.includes(write.yes) || among.includes(write.no)))
      problems.push(`${where}.from.${place}.write: yes must be one of in, and no must be none of it`);
    if (place === 0 && among !== null && write === null)
      problems.push(
        `${where}.from.0: is what is written, so it needs write with yes and no; or put a plain path before it`,
      );
    if (place === 0 && (among !== null || not) && as !== 'boolean')
      problems.push(`${where}.as: must be left out when the first path has in or not`);
    return problems;
  });
}

function conditionProblems(
  { user }: Mapping,
  owned: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  return user.deleted.flatMap(({ path, is, values, otherwise }, place) => {
    const where = `user.deleted.${place}`;
    const problems: string[] = [];
    const taken = Object.entries(owned).find(
      ([, other]) => other !== undefined && (lies(path, other) || lies(other, path)),
    );
    const flag = user.isVerified.from.find((source) => source.path === path);
    if (taken !== undefined && taken[0] !== 'isVerified')
      problems.push(`${where}.path: is what ${taken[0]} is written to; give one of them another path`);
    if (taken?.[0] === 'isVerified' && flag?.in === null)
      problems.push(`${where}.path: is a yes or no of isVerified too; say with in which values are which`);
    const both = values.find((value) => flag?.in?.includes(value) || flag?.write?.no === value);
    if (both !== undefined)
      problems.push(`${where}: ${JSON.stringify(both)} cannot mean deleted and be a value of isVerified`);
    if (otherwise !== null && flag !== undefined)
      problems.push(`${where}.otherwise: isVerified is written to this path; leave otherwise out`);
    if (otherwise !== null && is === 'in' && values.includes(otherwise))
      problems.push(`${where}.otherwise: must not be a value that means deleted`);
    if (otherwise !== null && is !== 'in' && (is === 'truthy') === Boolean(otherwise))
      problems.push(`${where}.otherwise: must not mean deleted`);
    return problems;
  });
}
