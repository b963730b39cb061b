/** The help, made from the table of verbs. */
import { EXIT_CODE_MEANINGS, EXIT_CODES, OUTCOMES } from './exit-codes.ts';
import { columns, indented, wrapped } from './table.ts';
import { COMMON_OPTIONS, type OptionSpec, specOf, VERB_NAMES, type VerbName } from './verbs.ts';

const TEXT_WIDTH = 96;

const VARIABLES = [
  ['MONGO_URL', 'MongoDB, with its database: mongodb://host:27017/auth?replicaSet=rs0'],
  ['DATABASE_URL', 'PostgreSQL: postgres://user@host:5432/auth?sslmode=verify-full'],
  ['MONGO_URL_FILE, DATABASE_URL_FILE', 'files that hold them, instead'],
  ['STORE_TIMEOUT', 'longest time a store may take to answer; default 2s'],
  ['RETENTION', 'how long expired records are kept, as the service has it; default 30d'],
  ['NO_COLOR', 'any value turns colours off'],
] as const;

function optionLines(options: Readonly<Record<string, OptionSpec>>): string[] {
  const left = Object.entries(options).map(([name, { value, description }]) => {
    const short = name === 'help' ? '-h, ' : '';
    return { label: `${short}--${name}${value === null ? '' : ` ${value}`}`, description };
  });
  const labelWidth = Math.max(...left.map(({ label }) => label.length));
  return columns(
    left.flatMap(({ label, description }) =>
      wrapped(description, TEXT_WIDTH - labelWidth).map((line, at) => [at === 0 ? label : '', line]),
    ),
  );
}

const section = (title: string, lines: readonly string[]): string[] => ['', `${title}:`, ...indented(lines)];

const exitLines = (outcomes: readonly (keyof typeof EXIT_CODES)[]): string[] =>
  outcomes.map((outcome) => `${EXIT_CODES[outcome]}  ${EXIT_CODE_MEANINGS[outcome]}`);

const exampleLines = (examples: readonly (readonly [string, string])[]): string[] =>
  columns(examples.map(([command, meaning]) => [command, `# ${meaning}`]));

export function helpOf(verb: VerbName): string {
  const spec = specOf(verb);
  return [
    `${`Usage: cutover ${verb} ${spec.usage}`.trimEnd()} [--json] [--env-file FILE]`,
    '',
    `${spec.summary}.`,
    ...spec.details.flatMap((paragraph) => ['', ...wrapped(paragraph, TEXT_WIDTH)]),
    ...section('Options', optionLines({ ...spec.options, ...COMMON_OPTIONS })),
    ...section('Exit codes', exitLines(spec.ends)),
    ...section('Examples', exampleLines(spec.examples)),
    '',
  ].join('\n');
}

export function overview(): string {
  return [
    'Usage: cutover VERB [OPTIONS]',
    '',
    ...wrapped(
      'Moves the users from MongoDB to PostgreSQL while the service serves them, one step at a time, and back. ' +
        'It talks to the stores, not to an instance. Nothing changes without a verb that says so.',
      TEXT_WIDTH,
    ),
    ...section('Verbs', columns(VERB_NAMES.map((name) => [name, specOf(name).summary]))),
    ...section(
      'Everywhere',
      optionLines({ ...COMMON_OPTIONS, version: { value: null, description: 'Show the version' } }),
    ),
    ...section('Environment', columns(VARIABLES)),
    ...section('Exit codes', exitLines(OUTCOMES)),
    '',
    '`cutover help VERB` or `cutover VERB --help` tells all about one. With npx: `npx --no cutover VERB`, and',
    '`npx --no -- cutover --help`, since npx takes options before the first word after `cutover` for its own.',
    '',
  ].join('\n');
}
