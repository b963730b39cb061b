/** Where the program prints and asks, handed in from outside; and progress on it. */
import type { Progress as CopyProgress } from '../copy/types.ts';
import type { Progress } from '../operator/types.ts';
import { progressWords } from './print/copy.ts';
import type { Style } from './style.ts';
import { duration, printable } from './words.ts';

export interface Terminal {
  /** Standard output: results only. */
  readonly out: (text: string) => void;
  /** Standard error: progress, questions and what went wrong. */
  readonly err: (text: string) => void;
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  readonly outStyle: Style;
  readonly errStyle: Style;
  /** One line as typed; null where nobody sits. */
  readonly ask: ((question: string) => Promise<string>) | null;
}

const CLEAR_LINE = '\r\u001b[2K';

export interface ProgressLine {
  readonly report: (progress: Progress) => void;
  /** How far a copy is: a bar on a terminal, one JSON object a line elsewhere. */
  readonly tell: (progress: CopyProgress) => void;
  /** Takes the line away before something else is printed. */
  readonly end: () => void;
}

/** One line that is written over on a terminal; lines one below the other elsewhere. */
export function createProgress({ err, errIsTty, errStyle }: Terminal, json = false): ProgressLine {
  let shown = false;
  return {
    tell(progress) {
      if (json || !errIsTty) return err(`${JSON.stringify(progress)}\n`);
      err(`${CLEAR_LINE}${progressWords(progress, errStyle)}`);
      shown = true;
    },
    report({ message, elapsedMs }) {
      const text = printable(message);
      if (!errIsTty) return err(`[${duration(elapsedMs)}] ${text}\n`);
      err(`${CLEAR_LINE}${errStyle.dim(`${duration(elapsedMs)}  ${text.slice(0, 100)}`)}`);
      shown = true;
    },
    end() {
      if (shown) err(CLEAR_LINE);
      shown = false;
    },
  };
}
