/** What the program's exit code says. Scripts branch on it, so a number never changes its meaning. */

export const EXIT_CODES = {
  done: 0,
  difference: 1,
  usage: 2,
  refused: 3,
  aborted: 4,
  unreachable: 5,
} as const;
export type Outcome = keyof typeof EXIT_CODES;

export const OUTCOMES = Object.keys(EXIT_CODES) as [Outcome, ...Outcome[]];

/** One sentence for each, for the help. */
export const EXIT_CODE_MEANINGS: Readonly<Record<Outcome, string>> = {
  done: 'done',
  difference: 'a difference or bad data was found, or an unexpected error',
  usage: 'wrong usage or configuration; nothing was done',
  refused: 'refused: a condition does not hold; nothing was changed',
  aborted: 'aborted: begun, then taken back or left as the message says',
  unreachable: 'a store that is needed cannot be reached',
};
