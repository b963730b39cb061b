/** A mapping's entries, compiled once into what the readers go by. */
import { comparable } from './flags.ts';
import type { Condition, FlagSource, Scalar, TokenMapping, UserMapping } from './mapping.ts';
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
  readonly lockedOut: readonly ConditionAt[];
};

export interface ReferenceField extends Field {
  /** The old service writes an ObjectId's digits, and so do we. */
  readonly isText: boolean;
  /** Users' ids are text, so digits are no ObjectId's. */
  readonly isTextId: boolean;
}

export type TokenFields = Readonly<
  Record<'token' | 'nonce' | 'generation' | 'createdAt' | 'expiresAt' | 'mailDueAt', Field>
> & { readonly userId: ReferenceField; readonly used: readonly ConditionAt[] };

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
    createdAt: fieldAt(user.createdAt.from),
    updatedAt: fieldAt(user.updatedAt.from),
    deletedAt: fieldAt(user.deletedAt.from),
    deleted: user.deleted.map(compileCondition),
    lockedOut: user.lockedOut.map(compileCondition),
    lastLoginAt: fieldAt(user.lastLoginAt),
  };
}

const compileCondition = ({ path, is, values, ifVerified, isGuess }: Condition): ConditionAt => ({
  path: pathOf(path),
  is,
  values: new Set(values.map(comparable)),
  ifVerified,
  isGuess,
});

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
    createdAt: fieldAt(token.createdAt.from),
    expiresAt: fieldAt(token.expiresAt.from),
    mailDueAt: ownField('mailDueAt'),
    used: token.used.map(compileCondition),
  };
}
