/** The help, made from the table of verbs. */
import { EXIT_CODE_MEANINGS, EXIT_CODES, OUTCOMES } from './exit-codes.ts';
import { columns, indented, wrapped } from './table.ts';
import { COMMON_OPTIONS, type OptionSpec, specOf, VERB_NAMES, type VerbName } from './verbs.ts';

/** Lines longer than this are hard to read, on terminals that are wider too. */
const WIDTH_MAX = 98;
const WIDTH_MIN = 60;

/** For what is indented by two. */
const widthFor = (terminal: number | null): number =>
  Math.min(WIDTH_MAX, Math.max(WIDTH_MIN, terminal ?? WIDTH_MAX)) - 2;

const VARIABLES = [
  ['MONGO_URL', 'MongoDB, with its database: mongodb://host:27017/auth?replicaSet=rs0'],
  ['DATABASE_URL', 'PostgreSQL: postgres://user@host:5432/auth?sslmode=verify-full'],
  ['MONGO_URL_FILE, DATABASE_URL_FILE', 'files that hold them, instead'],
  ['STORE_TIMEOUT', 'longest time a store may take to answer; default 2s'],
  ['RETENTION', 'how long expired records are kept, as the service has it; default 30d'],
  ['NO_COLOR', 'any value turns colours off'],
] as const;

function optionLines(options: Readonly<Record<string, OptionSpec>>, width: number): string[] {
  const left = Object.entries(options).map(([name, { value, description }]) => {
    const short = name === 'help' ? '-h, ' : '';
    return { label: `${short}--${name}${value === null ? '' : ` ${value}`}`, description };
  });
  return described(
    left.map(({ label, description }) => [label, description]),
    width,
  );
}

/** Labels and what they mean, which is wrapped beside them. */
function described(pairs: readonly (readonly [string, string])[], width: number): string[] {
  const room = width - Math.max(...pairs.map(([label]) => label.length)) - 2;
  return columns(
    pairs.flatMap(([label, text]) => wrapped(text, room).map((line, at) => [at === 0 ? label : '', line])),
  );
}

const section = (title: string, lines: readonly string[]): string[] => ['', `${title}:`, ...indented(lines)];

const exitLines = (outcomes: readonly (keyof typeof EXIT_CODES)[]): string[] =>
  outcomes.map((outcome) => `${EXIT_CODES[outcome]}  ${EXIT_CODE_MEANINGS[outcome]}`);

/** Each beside its meaning where there is room, otherwise below it. */
function exampleLines(examples: readonly (readonly [string, string])[], width: number): string[] {
  const beside = columns(examples.map(([command, meaning]) => [command, `# ${meaning}`]));
  if (beside.every((line) => line.length <= width)) return beside;
  return examples.flatMap(([command, meaning]) => [`# ${meaning}`, command]);
}

/** The options of a verb, each kept in one piece. */
function usageLines(usage: string, width: number): string[] {
  const pieces = usage.replace(/\[[^\]]*\]/g, (option) => option.replaceAll(' ', '\u00a0'));
  const lines = wrapped(pieces, width - 'Usage: '.length).map((line) => line.replaceAll('\u00a0', ' '));
  return lines.map((line, at) => `${at === 0 ? 'Usage: ' : '       '}${line}`);
}

/** `columns`: how wide the terminal is, if there is one. */
export function helpOf(verb: VerbName, columns: number | null = null): string {
  const spec = specOf(verb);
  const width = widthFor(columns);
  return [
    ...usageLines(
      `${`cutover ${verb} ${spec.usage}`.trimEnd()} [--json] [--env-file FILE] [--mapping FILE]`,
      width,
    ),
    '',
    ...wrapped(`${spec.summary}.`, width),
    ...spec.details.flatMap((paragraph) => ['', ...wrapped(paragraph, width)]),
    ...section('Options', optionLines({ ...spec.options, ...COMMON_OPTIONS }, width)),
    ...section('Exit codes', exitLines(spec.ends)),
    ...section('Examples', exampleLines(spec.examples, width)),
    '',
  ].join('\n');
}

/** `columns`: how wide the terminal is, if there is one. */
export function overview(columns: number | null = null): string {
  const width = widthFor(columns);
  return [
    'Usage: cutover VERB [OPTIONS]',
    '',
    ...wrapped(
      'Moves the users from MongoDB to PostgreSQL while the service serves them, one step at a time, and back. ' +
        'It talks to the stores, not to an instance. Nothing changes without a verb that says so.',
      width,
    ),
    ...section(
      'Verbs',
      described(
        VERB_NAMES.map((name) => [name, specOf(name).summary]),
        width,
      ),
    ),
    ...section(
      'Everywhere',
      optionLines({ ...COMMON_OPTIONS, version: { value: null, description: 'Show the version' } }, width),
    ),
    ...section('Environment', described(VARIABLES, width)),
    ...section('Exit codes', exitLines(OUTCOMES)),
    '',
    ...wrapped(
      '`cutover help VERB` or `cutover VERB --help` tells all about one. With npx: `npx --no cutover VERB`, and ' +
        '`npx --no -- cutover --help`, since npx takes options before the first word after `cutover` for its own.',
      width,
    ),
    '',
  ].join('\n');
}
