/** What was typed, checked against the table of verbs. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { COMMON_OPTIONS, type OptionSpec, specOf, VERB_NAMES, type VerbName } from './verbs.ts';

/** Wrong usage: the message says what, and what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly verb: VerbName | null;
  constructor(message: string, verb: VerbName | null) {
    super(message);
    this.verb = verb;
  }
}

export interface Options {
  /** Whether an option without a value was given. */
  has(name: string): boolean;
  /** The value of an option; null when it was not given. */
  text(name: string): string | null;
  /** A whole number from 1, or `fallback`. Throws `UsageError`. */
  whole(name: string, fallback: number): number;
}

export type Command =
  | { readonly kind: 'help'; readonly verb: VerbName | null }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'run';
      readonly verb: VerbName;
      readonly words: readonly string[];
      readonly options: Options;
    };

/** Throws `UsageError`. */
export function parseCommand(argv: readonly string[]): Command {
  const verb = verbOf(argv);
  if (verb === null) return withoutVerb(argv);
  const spec = specOf(verb.name);
  const allowed: Record<string, OptionSpec> = { ...COMMON_OPTIONS, ...spec.options };
  const { values, positionals } = parse(verb.rest, allowed, verb.name);
  if (values['help'] === true) return { kind: 'help', verb: verb.name };
  if (!spec.words.includes(positionals.length)) {
    throw new UsageError(`usage: cutover ${verb.name} ${spec.usage}`.trimEnd(), verb.name);
  }
  return { kind: 'run', verb: verb.name, words: positionals, options: optionsOf(values, verb.name) };
}

/** Verbs of two words come first, their two words next to each other. */
function verbOf(
  argv: readonly string[],
): { readonly name: VerbName; readonly rest: readonly string[] } | null {
  const [first = '', second = ''] = argv;
  const two = VERB_NAMES.find((name) => name === `${first} ${second}`);
  if (two !== undefined) return { name: two, rest: argv.slice(2) };
  const one = VERB_NAMES.find((name) => name === first);
  return one === undefined ? null : { name: one, rest: argv.slice(1) };
}

/** Verbs that begin with as many letters are named to whoever has mistyped one. */
const ALIKE = 3;

function withoutVerb(argv: readonly string[]): Command {
  const [first, ...rest] = argv;
  if (first === '--version') return { kind: 'version' };
  if (first === undefined || first === '--help' || first === '-h') return { kind: 'help', verb: null };
  if (first === 'help') {
    if (rest.length === 0) return { kind: 'help', verb: null };
    const verb = verbOf(rest);
    if (verb !== null) return { kind: 'help', verb: verb.name };
  }
  if (first.startsWith('-')) throw new UsageError('the verb comes first, options after it', null);
  const word = first === 'help' ? (rest[0] ?? '') : first;
  const begun = VERB_NAMES.filter((name) => name.startsWith(`${word} `));
  if (begun.length > 0) throw new UsageError(`did you mean: ${begun.join(', ')}?`, begun[0] ?? null);
  const near = VERB_NAMES.filter((name) => name.slice(0, ALIKE) === word.slice(0, ALIKE));
  throw new UsageError(
    near.length > 0 ? `there is no such verb; did you mean: ${near.join(', ')}?` : 'there is no such verb',
    null,
  );
}

type Values = Readonly<Record<string, string | boolean | undefined>>;

function parse(args: readonly string[], allowed: Readonly<Record<string, OptionSpec>>, verb: VerbName) {
  const options: NonNullable<ParseArgsConfig['options']> = Object.fromEntries(
    Object.entries(allowed).map(([name, { value }]) => [
      name,
      {
        type: value === null ? ('boolean' as const) : ('string' as const),
        ...(name === 'help' && { short: 'h' }),
      },
    ]),
  );
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { values: parsed.values as Values, positionals: parsed.positionals };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // The first sentence tells what is wrong; the rest is about escaping, which hardly anybody meant.
    throw new UsageError(error.message.split('. ')[0] ?? 'the options cannot be read', verb);
  }
}

function optionsOf(values: Values, verb: VerbName): Options {
  const text = (name: string): string | null => {
    const value = values[name];
    if (value === '') throw new UsageError(`--${name} is empty`, verb);
    return typeof value === 'string' ? value : null;
  };
  return {
    has: (name) => values[name] === true,
    text,
    whole(name, fallback) {
      const value = text(name);
      if (value === null) return fallback;
      if (!/^[1-9]\d{0,5}$/.test(value)) {
        throw new UsageError(`--${name} must be a whole number from 1 to 999999`, verb);
      }
      return Number(value);
    },
  };
}
