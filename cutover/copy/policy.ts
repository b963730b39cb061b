/**
 * Who of several users keeps the e-mail they share: rules in their order, and choices by id; a file of it never names an
 * address. Pure.
 */
import { z } from 'zod';
import { compareIds } from '../../db/ids.ts';

export const RULES = ['newest', 'verified', 'most-recent-login'] as const;
export type Rule = (typeof RULES)[number];

export interface DuplicatePolicy {
  /** In this order, each where those before it cannot tell; empty: what no choice decides is bad. */
  readonly rules: readonly Rule[];
  /** Who keeps the address, over whom. */
  readonly keep: Readonly<Record<string, readonly string[]>>;
}

/** What a rule looks at. */
export interface Rival {
  readonly id: string;
  readonly createdAt: Date;
  readonly isVerified: boolean;
  /** Null: not known. */
  readonly lastLoginAt: Date | null;
}

export interface Choice {
  /** Null: nobody, and all of them are bad. */
  readonly winner: string | null;
  /** What decided it, for the record. */
  readonly by: string;
}

/** Takes rivals one by one, so that any number of them may share an address. */
export interface Chooser {
  add(rival: Rival): void;
  choice(): Choice;
}

/** Makes a chooser for each address. Whom choices are about is looked up once for all: both may be many. */
export function choosersOf({ rules, keep }: DuplicatePolicy): () => Chooser {
  const choiceOf = new Map(
    Object.entries(keep).flatMap(([id, losers]) => [id, ...losers].map((each) => [each, id])),
  );
  return () => createChooser(rules, choiceOf);
}

/**
 * Equal ones in the order of their age, the older first: it was there before the other. But not for want of any login that
 * is known, where the last rule asks for one: then nothing has been told apart.
 */
function createChooser(rules: readonly Rule[], choiceOf: ReadonlyMap<string, string>): Chooser {
  let count = 0;
  let best: Rival | null = null;
  /** Whether only its age sets it apart from another. */
  let isTied = false;
  const named: string[] = [];
  /** Of each choice, how many of those it is about there are. */
  const known = new Map<string, number>();
  return {
    add(rival) {
      count += 1;
      const owner = choiceOf.get(rival.id);
      if (owner !== undefined) known.set(owner, (known.get(owner) ?? 0) + 1);
      if (owner === rival.id) named.push(rival.id);
      const order = best === null ? -1 : byRules(rules, rival, best);
      if (order < 0) isTied = false;
      if (order === 0) isTied = true;
      if (best === null || order < 0 || (order === 0 && byAge(rival, best) < 0)) best = rival;
    },
    choice() {
      const [id] = named;
      if (id !== undefined) {
        // A choice that was made without knowing of one of them is no choice among all of them.
        const isWhole = named.length === 1 && known.get(id) === count;
        return isWhole
          ? { winner: id, by: 'keep' }
          : { winner: null, by: 'keep names others than there are' };
      }
      if (rules.length === 0) return { winner: null, by: 'no rule' };
      if (isTied && best?.lastLoginAt === null && rules.at(-1) === 'most-recent-login')
        return { winner: null, by: 'no last login is known' };
      return { winner: best?.id ?? null, by: rules.join(', then ') };
    },
  };
}

function byRules(rules: readonly Rule[], a: Rival, b: Rival): number {
  for (const rule of rules) {
    const difference = score(rule, b) - score(rule, a);
    if (difference !== 0) return difference;
  }
  return 0;
}

const byAge = (a: Rival, b: Rival): number =>
  a.createdAt.getTime() - b.createdAt.getTime() || compareIds(a.id, b.id);

function score(rule: Rule, { createdAt, isVerified, lastLoginAt }: Rival): number {
  if (rule === 'newest') return createdAt.getTime();
  return rule === 'verified' ? Number(isVerified) : (lastLoginAt?.getTime() ?? Number.MIN_SAFE_INTEGER);
}

/** One line per problem: where in the file, what is wrong, and what is allowed. */
export class PolicyInvalid extends Error {
  override readonly name = 'PolicyInvalid';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`the policy has ${problems.length} problem(s):\n${problems.join('\n')}`);
    this.problems = problems;
  }
}

const WORDS = ['default', 'tieBreakers', 'keep', 'description'] as const;
const rule = z.enum(RULES, { error: `must be one of ${RULES.join(', ')}` });
const id = z
  .string({ error: 'must be the id of a user' })
  .min(1, { error: 'must be the id of a user' })
  // An id that is an address would be told in reports, too; a file of choices is none of those.
  .refine((text) => !text.includes('@'), { error: 'must be the id of a user, never an e-mail' });

const file = z
  .strictObject(
    {
      description: z.string({ error: 'must be text' }).optional(),
      default: z
        .enum([...RULES, 'refuse'], { error: `must be one of ${RULES.join(', ')}, refuse` })
        .default('refuse'),

      tieBreakers: z.array(rule, { error: `must be a list of ${RULES.join(', ')}` }).default([]),
      keep: z
        .record(id, z.array(id, { error: 'must be the list of the ids that give way' }).min(1))
        .default({}),
    },
    {
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? `${issue.keys.join(', ')}: not known here; allowed are ${WORDS.join(', ')}`
          : `must be an object with ${WORDS.join(', ')}`,
    },
  )
  .superRefine(({ default: first, tieBreakers: others, keep }, context) => {
    const complain = (path: PropertyKey[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    if (first === 'refuse' && others.length > 0)
      complain(['tieBreakers'], 'only goes with a default rule; refuse leaves nothing to break a tie of');
    const rules: readonly string[] = [first, ...others];
    rules.forEach((each, place) => {
      if (rules.indexOf(each) !== place) complain(['tieBreakers', place - 1], `${each} was asked before`);
    });
    const sets = Object.entries(keep);
    for (const [winner, losers] of sets) {
      const twice = sets.find(
        ([other, ids]) =>
          other !== winner && [other, ...ids].some((each) => [winner, ...losers].includes(each)),
      );
      if (losers.includes(winner)) complain(['keep', winner], 'cannot give way to itself');
      if (twice !== undefined) complain(['keep', winner], `shares an id with the choice for ${twice[0]}`);
    }
  });

/** Throws `PolicyInvalid` with every problem. */
export function parsePolicy(given: unknown): DuplicatePolicy {
  const parsed = file.safeParse(given);
  if (parsed.success) {
    const { default: first, tieBreakers: others, keep } = parsed.data;
    return { rules: first === 'refuse' ? [] : [first, ...others], keep };
  }
  throw new PolicyInvalid(
    parsed.error.issues.map(({ code, path, message }) =>
      code === 'invalid_key'
        ? 'keep: must be the id of a user, never an e-mail'
        : path.length === 0
          ? message
          : `${path.map(String).join('.')}: ${message}`,
    ),
  );
}

/** How a run remembers it. */
export const policySchema: z.ZodType<DuplicatePolicy> = z.object({
  rules: z.array(z.enum(RULES)),
  keep: z.record(z.string(), z.array(z.string())),
});

/** The shorthand of one rule. */
export const policyOf = (only: Rule): DuplicatePolicy => ({ rules: [only], keep: {} });
