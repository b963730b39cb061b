/** The command line of `npm run demo`. */
import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** How long the traffic flows at least, s. */
  readonly seconds: number;
  /** Requests each second. */
  readonly rate: number;
  readonly json: boolean;
  readonly help: boolean;
}

export const HELP = `npm run demo -- [options]

Moves a running authentication service from MongoDB to PostgreSQL before your eyes, in about a minute: three instances
behind a proxy, steady traffic, the whole ladder of modes, and every instance replaced on the way. Databases are
started here and are gone afterwards. Nothing is forced; each setting and each variable of the instances that has
another value than usual, for so short a time on one machine, is printed.

  --seconds N  how long the traffic flows, 5 to 3600 (40); starting and judging come on top
  --rate N     requests each second, 1 to 500 (30)
  --json       the result as JSON on standard output, what happens on standard error
  --help       this text

Exit code 0: no request failed, no write was lost, both stores were verified, and the checker can explain every answer.
1: something of that did not hold. 2: a wrong option. 130: interrupted.`;

/** Throws with one line on the first argument that makes no sense. */
export function readOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '40' },
      rate: { type: 'string', default: '30' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false, short: 'h' },
    },
  });
  return {
    seconds: between('--seconds', values.seconds, 5, 3_600),
    rate: between('--rate', values.rate, 1, 500),
    json: values.json,
    help: values.help,
  };
}

function between(name: string, text: string, min: number, max: number): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!(value >= min && value <= max)) throw new RangeError(`${name} must be a number from ${min} to ${max}`);
  return value;
}
