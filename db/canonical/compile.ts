/** A mapping's entries, compiled once into what the readers go by. */
import { comparable } from './flags.ts';
import type { Condition, FlagSource, Scalar, TimeSource, TokenMapping, UserMapping } from './mapping.ts';
import { type Path, pathOf } from './paths.ts';
import { type Field, fieldAt, ownField } from './read.ts';

export interface FlagAt extends Pick<FlagSource, 'not'> {
  readonly path: Path;
  /** Null: whatever reads as yes. */
  readonly yes: ReadonlySet<Scalar> | null;
}

export interface FlagField extends Field {
  readonly sources: readonly FlagAt[];
}

export interface ConditionAt extends Pick<Condition, 'is' | 'ifVerified' | 'isGuess'> {
  readonly path: Path;
  readonly values: ReadonlySet<Scalar>;
  readonly unless: readonly Path[];
}

/** Many of which seldom one is in a document. */
export interface Conditions {
  readonly all: readonly ConditionAt[];
  /** A document without any of these fields meets none. */
  readonly tops: ReadonlySet<string>;
}

export type UserFields = Readonly<
  Record<
    | 'email'
    | 'name'
    | 'nameParts'
    | 'passwordHash'
    | 'verifiedWith'
    | 'sessionGeneration'
    | 'resetGeneration'
    | 'createdAt'
    | 'updatedAt'
    | 'deletedAt'
    | 'lastLoginAt',
    Field
  >
> & {
  readonly isVerified: FlagField;
  readonly deleted: readonly ConditionAt[];
  readonly lockedOut: Conditions;
  readonly states: readonly StateAt[];
};

/** Where one of several words says how an account stands. */
export interface StateAt {
  readonly path: Path;
  /** All that are known to mean something. */
  readonly known: ReadonlySet<Scalar>;
  /** Words for yes and no are known as well. */
  readonly takesYesOrNo: boolean;
}

export interface ReferenceField extends Field {
  /** The old service writes an ObjectId's digits, and so do we. */
  readonly isText: boolean;
  /** Users' ids are text, so digits are no ObjectId's. */
  readonly isTextId: boolean;
}

export type TokenFields = Readonly<
  Record<'token' | 'nonce' | 'generation' | 'createdAt' | 'expiresAt' | 'mailDueAt', Field>
> & { readonly userId: ReferenceField; readonly used: Conditions };

export function compileUser(user: UserMapping): UserFields {
  return {
    email: fieldAt(user.email),
    name: fieldAt(user.name),
    nameParts: fieldAt(user.nameParts),
    passwordHash: fieldAt(user.passwordHash),
    isVerified: {
      ...fieldAt(user.isVerified.from.map(({ path }) => path)),
      sources: user.isVerified.from.map(({ path, not, in: among }) => ({
        path: pathOf(path),
        not,
        yes: among === null ? null : new Set(among.map(comparable)),
      })),
    },
    verifiedWith: ownField('verifiedWith'),
    sessionGeneration: ownField('sessionGeneration'),
    resetGeneration: ownField('resetGeneration'),
    createdAt: timeAt(user.createdAt),
    updatedAt: timeAt(user.updatedAt),
    deletedAt: timeAt(user.deletedAt),
    deleted: user.deleted.map(compileCondition),
    lockedOut: conditionsOf(lockedOutOf(user)),
    states: statesOf(user),
    lastLoginAt: fieldAt(user.lastLoginAt),
  };
}

/** Where the mapping's file says that a no means "not verified", the default's guess must not take it for a lock. */
function lockedOutOf({ isVerified, lockedOut }: UserMapping): readonly Condition[] {
  const places = new Set(isVerified.from.map(({ path }) => path));
  return lockedOut.map((each) =>
    each.isGuess && each.is === 'falsy' && places.has(each.path) ? { ...each, ifVerified: true } : each,
  );
}

/** Of what says whether the user is verified, where that is one of several words. */
function statesOf({ isVerified, deleted, lockedOut }: UserMapping): readonly StateAt[] {
  return isVerified.from.flatMap(({ path, in: among, write }) => {
    const conditions = [...deleted, ...lockedOut].filter((each) => each.path === path && each.is === 'in');
    if (among === null && conditions.length === 0) return [];
    const known = [
      ...(among ?? []),
      ...(write === null ? [] : [write.yes, write.no]),
      ...conditions.flatMap(({ values, otherwise }) =>
        otherwise === null ? values : [...values, otherwise],
      ),
    ];
    return [{ path: pathOf(path), known: new Set(known.map(comparable)), takesYesOrNo: among === null }];
  });
}

const timeAt = ({ from, as }: TimeSource): Field => ({ ...fieldAt(from), as });

const compileCondition = ({ path, is, values, ifVerified, isGuess, unless }: Condition): ConditionAt => ({
  path: pathOf(path),
  is,
  values: new Set(values.map(comparable)),
  ifVerified,
  isGuess,
  unless: unless.map(pathOf),
});

function conditionsOf(conditions: readonly Condition[]): Conditions {
  const all = conditions.map(compileCondition);
  return { all, tops: new Set(all.map(({ path }) => path.top)) };
}

export function compileToken(token: TokenMapping): TokenFields {
  return {
    userId: {
      ...fieldAt(token.userId.from),
      isText: token.userId.as === 'text',
      isTextId: token.userId.as === 'text-id',
    },
    token: fieldAt(token.token),
    nonce: ownField('nonce'),
    generation: ownField('generation'),
    createdAt: timeAt(token.createdAt),
    expiresAt: timeAt(token.expiresAt),
    mailDueAt: ownField('mailDueAt'),
    used: conditionsOf(token.used),
  };
}
