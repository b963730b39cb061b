/** Colours, only where they can be seen and nobody has asked to do without. */

export interface Style {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly strong: (text: string) => string;
}

const same = (text: string): string => text;

export const PLAIN: Style = { good: same, bad: same, warn: same, dim: same, strong: same };

const coded =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`;

const COLOURED: Style = {
  good: coded(32, 39),
  bad: coded(31, 39),
  warn: coded(33, 39),
  dim: coded(2, 22),
  strong: coded(1, 22),
};

/** https://no-color.org: any value but an empty one turns colours off. */
export function styleFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Style {
  const wanted = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return wanted ? COLOURED : PLAIN;
}
