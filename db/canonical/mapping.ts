/**
 * The mapping: which collections the old service used, where each field of a record is found in its documents, and what
 * counts as deleted. Data alone; `codec.ts` makes readers and writers of it. See docs/mapping.md.
 */
import { z } from 'zod';
import { ENTITIES, type Entity } from '../records.ts';
import { OWN_FIELDS } from './fields.ts';
import { clashes } from './mapping-rules.ts';

export type Scalar = string | number | boolean;
/** How a time is written: as a date, as text, or as a number since 1970. All of them are read anyway. */
export type TimeForm = 'date' | 'iso' | 'seconds' | 'milliseconds';
/** How yes and no are written. `date`: since when, or null. */
export type FlagForm = 'boolean' | 'date' | 'number';

export interface TimeSource {
  /** Read in this order, the first that is there; written to the first. */
  readonly from: readonly string[];
  readonly as: TimeForm;
}

export interface FlagSource {
  readonly path: string;
  /** It says the opposite. */
  readonly not: boolean;
  /** Values that mean yes; null: whatever reads as yes. */
  readonly in: readonly Scalar[] | null;
  readonly write: { readonly yes: Scalar; readonly no: Scalar } | null;
}

/** What must hold at a path for a user to count as deleted or locked out, or a token as used. */
export interface Condition {
  readonly path: string;
  readonly is: 'in' | 'truthy' | 'falsy';
  /** For `in`. */
  readonly values: readonly Scalar[];
  /** Counts only where another place says that the user is verified. */
  readonly ifVerified: boolean;
  /** Of the default mapping: a list in a place of this name is something else than a flag. */
  readonly isGuess: boolean;
  /** Of the default mapping: does not count where one of these plainly says no. */
  readonly unless: readonly string[];
  /** A tombstone of this service's is written so that it meets it. */
  readonly write: boolean;
  /** What new documents of living users hold there; null: nothing. */
  readonly otherwise: Scalar | null;
}

export interface UserMapping {
  readonly email: readonly string[];
  readonly name: readonly string[];
  /** Joined by a space where no name is there. Never written. */
  readonly nameParts: readonly string[];
  readonly passwordHash: readonly string[];
  readonly isVerified: { readonly from: readonly FlagSource[]; readonly as: FlagForm };
  readonly createdAt: TimeSource;
  readonly updatedAt: TimeSource;
  readonly deletedAt: TimeSource;
  readonly deleted: readonly Condition[];
  /** Accounts that the old service kept out: bad data, for nobody is kept out here. */
  readonly lockedOut: readonly Condition[];
  /** Only for choosing among users that share an e-mail. */
  readonly lastLoginAt: readonly string[];
}

export interface TokenMapping {
  /** `text`: an ObjectId's digits. `text-id`: the `_id`s of users are text themselves, digits or not. */
  readonly userId: { readonly from: readonly string[]; readonly as: 'id' | 'text' | 'text-id' };
  readonly token: readonly string[];
  readonly createdAt: TimeSource;
  readonly expiresAt: TimeSource;
  /** Tokens that the old service kept after their use, or took back: they end at once. */
  readonly used: readonly Condition[];
}

export interface Mapping {
  readonly collections: Readonly<Record<Entity, string>>;
  readonly user: UserMapping;
  readonly verificationToken: TokenMapping;
  readonly resetToken: TokenMapping;
}

/** One line per problem: where in the file, what is wrong, and what is allowed. */
export class MappingInvalid extends Error {
  override readonly name = 'MappingInvalid';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`the mapping has ${problems.length} problem(s):\n${problems.join('\n')}`);
    this.problems = problems;
  }
}

const PATHS_MAX = 20;
const PATH = 'a path such as email or emails.0.address';

const path = z
  .string({ error: `must be ${PATH}, as text` })
  .max(200, { error: 'must be at most 200 characters long' })
  .regex(/^(?!\$)[^.\0]+(\.(?!\$)[^.\0]+)*$/, {
    error: `must be ${PATH}: names with dots between them, none empty, none beginning with $`,
  })
  .refine((text) => !text.split('.').includes('__proto__'), { error: 'must not go through __proto__' })
  .refine((text) => !OWN_FIELDS.has(text.split('.')[0] ?? ''), {
    error: `must not lie in a field of this service's own: ${[...OWN_FIELDS].join(', ')}`,
  });

const asList = (given: unknown): unknown => (Array.isArray(given) ? given : [given]);
const paths = z.preprocess(
  asList,
  z
    .array(path)
    .min(1, { error: `must name at least one path` })
    .max(PATHS_MAX, { error: `must name at most ${PATHS_MAX} paths` }),
);

const isObject = (given: unknown): given is object =>
  typeof given === 'object' && given !== null && !Array.isArray(given);
const withFrom = (given: unknown): unknown =>
  isObject(given) && !('path' in given) ? given : { from: given };

const choice = <const T extends string>(values: readonly T[]) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` });

const time = z.preprocess(
  withFrom,
  object({ from: paths, as: choice(['date', 'iso', 'seconds', 'milliseconds']).default('date') }),
);

const scalar = z.union([z.string(), z.number(), z.boolean()], {
  error: 'must be text, a number, true or false',
});
const scalars = z.array(scalar, { error: 'must be a list of values' }).min(1, { error: 'must name a value' });
const onlyTrue = z.literal(true, { error: 'must be true, or be left out' });

const flagSource = z.preprocess(
  (given) => (isObject(given) ? given : { path: given }),
  object({
    path,
    not: onlyTrue.optional(),
    in: scalars.optional(),
    write: object({ yes: scalar, no: scalar }).optional(),
  }).transform(
    ({ path: at, not = false, in: among = null, write = null }): FlagSource => ({
      path: at,
      not,
      in: among,
      write,
    }),
  ),
);

const flag = z.preprocess(
  withFrom,
  object({
    from: z.preprocess(
      asList,
      z
        .array(flagSource)
        .min(1, { error: 'must name at least one path' })
        .max(PATHS_MAX, { error: `must name at most ${PATHS_MAX} paths` }),
    ),
    as: choice(['boolean', 'date', 'number']).default('boolean'),
  }),
);

const condition = object({
  path,
  equals: scalar.optional(),
  in: scalars.optional(),
  truthy: onlyTrue.optional(),
  falsy: onlyTrue.optional(),
  otherwise: scalar.optional(),
  ifVerified: onlyTrue.optional(),
  write: z.literal(false, { error: 'must be false, or be left out' }).optional(),
})
  .refine(
    ({ equals, in: among, truthy, falsy }) =>
      [equals, among, truthy, falsy].filter((each) => each !== undefined).length === 1,
    { error: 'must have exactly one of equals, in, truthy, falsy' },
  )
  .transform(({ path: at, equals, in: among, truthy, ...rest }): Condition => {
    const values = among ?? (equals === undefined ? [] : [equals]);
    const is = values.length > 0 ? 'in' : truthy ? 'truthy' : 'falsy';
    const { ifVerified = false, write = true, otherwise = null } = rest;
    return { path: at, is, values, ifVerified, isGuess: false, unless: [], write, otherwise };
  });

const conditions = z.preprocess(asList, z.array(condition).max(PATHS_MAX));

const reference = z.preprocess(
  withFrom,
  object({ from: paths, as: choice(['id', 'text', 'text-id']).default('id') }),
);

const token = object({
  userId: reference.optional(),
  token: paths.optional(),
  createdAt: time.optional(),
  expiresAt: time.optional(),
  used: conditions.optional(),
});

const RESERVED = /^(?:system\.|cutover_|limits$|erasures$)/;
const collection = z
  .string({ error: 'must be the name of a collection' })
  .regex(/^[^$\0]{1,100}$/, { error: 'must be the name of a collection: no $, at most 100 characters' })
  .refine((name) => !RESERVED.test(name), {
    error: 'must not be a collection of the server or of this service: system.…, cutover_…, limits, erasures',
  });

/** The file. What it does not name stays as the default mapping has it. */
const file = object({
  $schema: z.string().optional(),
  description: z.string({ error: 'must be text' }).optional(),
  collections: object({
    user: collection.optional(),
    verificationToken: collection.optional(),
    resetToken: collection.optional(),
    session: collection.optional(),
  }).default({}),
  user: object({
    email: paths.optional(),
    name: paths.optional(),
    nameParts: paths.optional(),
    passwordHash: paths.optional(),
    isVerified: flag.optional(),
    createdAt: time.optional(),
    updatedAt: time.optional(),
    deletedAt: time.optional(),
    deleted: conditions.optional(),
    lockedOut: conditions.optional(),
    lastLoginAt: paths.optional(),
  }).default({}),
  verificationToken: token.default({}),
  resetToken: token.default({}),
});

/** Refuses what it does not know: a field misspelled would otherwise be a field not mapped. */
function object<const S extends z.core.$ZodLooseShape>(shape: S) {
  const allowed = Object.keys(shape).filter((key) => key !== '$schema');
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `${issue.keys.join(', ')}: not known here; allowed are ${allowed.join(', ')}`
        : issue.code === 'invalid_type'
          ? `must be an object with ${allowed.join(', ')}`
          : undefined,
  });
}

type Over<T> = { readonly [K in keyof T]?: T[K] | undefined };

function over<T extends object>(base: T, given: Over<T>): T {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  // In the order of the default, whatever the file's: its digest must not depend on that.
  return { ...base, ...set };
}

/** What the file means on top of `base`. Throws `MappingInvalid` with every problem. */
export function parseMapping(given: unknown, base: Mapping): Mapping {
  const parsed = file.safeParse(given);
  if (!parsed.success) {
    throw new MappingInvalid(
      parsed.error.issues.map(({ path: place, message }) =>
        place.length === 0 ? message : `${place.map(String).join('.')}: ${message}`,
      ),
    );
  }
  const { collections, user, verificationToken, resetToken } = parsed.data;
  const mapping: Mapping = {
    collections: over(base.collections, collections),
    user: over<UserMapping>(base.user, user),
    verificationToken: over<TokenMapping>(base.verificationToken, verificationToken),
    resetToken: over<TokenMapping>(base.resetToken, resetToken),
  };
  const problems = clashes(mapping, ENTITIES);
  if (problems.length > 0) throw new MappingInvalid(problems);
  return mapping;
}
