/** Where the program prints and asks, handed in from outside; and progress on it. */
import type { Progress as CopyProgress } from '../copy/types.ts';
import type { Progress } from '../operator/types.ts';
import { duration } from '../words.ts';
import { progressWords } from './print/copy.ts';
import type { Style } from './style.ts';
import { cut } from './table.ts';
import { printable } from './words.ts';

export interface Terminal {
  /** Standard output: results only. */
  readonly out: (text: string) => void;
  /** Standard error: progress, questions and what went wrong. */
  readonly err: (text: string) => void;
  /** Aborted when nobody reads standard output any more; left out: somebody does. */
  readonly unread?: AbortSignal;
  readonly outIsTty: boolean;
  readonly errIsTty: boolean;
  /** Lines and columns of the terminals as they are now; null where there is none, or it does not say. */
  readonly outSize: () => Size | null;
  readonly errSize: () => Size | null;
  readonly outStyle: Style;
  readonly errStyle: Style;
  /** One line as typed; null where nobody sits. */
  readonly ask: ((question: string) => Promise<string>) | null;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Where the terminal does not say. */
const COLUMNS = 80;

const CLEAR_LINE = '\r\u001b[2K';

export interface ProgressLine {
  readonly report: (progress: Progress) => void;
  /** How far a copy is: a bar on a terminal, one JSON object a line elsewhere. */
  readonly tell: (progress: CopyProgress) => void;
  /** Takes the line away before something else is printed. */
  readonly end: () => void;
}

/** One line that is written over on a terminal; lines one below the other elsewhere. */
export function createProgress({ err, errIsTty, errStyle, errSize }: Terminal, json = false): ProgressLine {
  let shown = false;
  /** A line that wraps could not be written over. */
  const write = (text: string): void => {
    const room = (errSize()?.columns ?? COLUMNS) - 1;
    err(`${CLEAR_LINE}${errStyle.dim(cut(text, room))}`);
    shown = true;
  };
  return {
    tell(progress) {
      if (json || !errIsTty) return err(`${JSON.stringify(progress)}\n`);
      write(progressWords(progress));
    },
    report({ message, elapsedMs }) {
      const text = printable(message);
      if (!errIsTty) return err(`[${duration(elapsedMs)}] ${text}\n`);
      write(`${duration(elapsedMs)}  ${text}`);
    },
    end() {
      if (shown) err(CLEAR_LINE);
      shown = false;
    },
  };
}
