/** `--policy FILE`, and `--duplicates RULE` for a policy of one rule. */
import { readFileSync } from 'node:fs';
import { type DuplicatePolicy, PolicyInvalid, parsePolicy, policyOf, RULES } from '../../copy/policy.ts';
import { JsonInvalid, parseJson } from '../../json-text.ts';
import { UsageError } from '../parse.ts';
import type { Call } from './call.ts';

/** Null: none was given, and users that share an e-mail are bad. Throws `UsageError`. */
export function policyFor(call: Call): DuplicatePolicy | null {
  const rule = oneOf(call, 'duplicates', RULES);
  const file = call.options.text('policy');
  if (rule !== null && file !== null) {
    throw new UsageError('only one of --policy and --duplicates can be given', call.verb);
  }
  if (file === null) return rule === null ? null : policyOf(rule);
  try {
    return parsePolicy(parseJson(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new UsageError(problemOf(error), call.verb);
  }
}

function problemOf(error: unknown): string {
  if (error instanceof PolicyInvalid) return error.problems.map((line) => `--policy: ${line}`).join('\n');
  if (error instanceof JsonInvalid) return `--policy: ${error.message}`;
  const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
  return `--policy: cannot be read (${code}); name a file this process may read`;
}

/** One of these words, or null when the option was not given. Throws `UsageError`. */
export function oneOf<T extends string>(
  { options, verb }: Call,
  name: string,
  values: readonly T[],
): T | null {
  const given = options.text(name);
  if (given === null) return null;
  const found = values.find((value) => value === given);
  if (found === undefined) throw new UsageError(`--${name} must be one of ${values.join(', ')}`, verb);
  return found;
}
