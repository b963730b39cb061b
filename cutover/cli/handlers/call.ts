/** What a verb is handed, and what it gives back. */
import type { StoreName } from '../../../db/errors.ts';
import type { Progress as CopyProgress } from '../../copy/types.ts';
import type { OperatorContext } from '../../operator/types.ts';
import type { PerStore } from '../../protocol/types.ts';
import { VARIABLES } from '../../words.ts';
import type { Outcome } from '../exit-codes.ts';
import { Interrupted } from '../failures.ts';
import type { Options } from '../parse.ts';
import type { Output, OutputName } from '../schemas.ts';
import type { Style } from '../style.ts';
import type { VerbName } from '../verbs.ts';

export interface Answer {
  readonly outcome: Outcome;
  /** For `--json`, without what every object has. */
  readonly body: object;
  readonly lines: (style: Style) => readonly string[];
  /** What standard error says besides. */
  readonly notice?: string;
}

export interface Call {
  readonly verb: VerbName;
  readonly words: readonly string[];
  readonly options: Options;
  readonly context: OperatorContext;
  /** Of the stores; null: not configured. */
  readonly urls: PerStore<string | null>;
  /** Variables besides those of the configuration. */
  readonly env: NodeJS.ProcessEnv;
  /**
   * The URL to restore into, the given one or that of the environment; null: there is none. Throws
   * `ConfigurationProblem` for one that the configuration would refuse, too.
   */
  readonly restoreUrl: (into: StoreName, given: string | null) => Promise<string | null>;
  /** How long expired records are kept, as the service is configured. */
  readonly retentionMs: number;
  /** Tells how far a copy is. */
  readonly tell: (progress: CopyProgress) => void;
  /** Aborted by Ctrl-C or a request to end. */
  readonly interrupted: AbortSignal;
  /** Aborted when nobody reads standard output any more. */
  readonly unread: AbortSignal;
  readonly ask: ((question: string) => Promise<string>) | null;
  /** Prints an answer before the last one. */
  readonly print: (answer: Answer) => void;
  /** Prints what went wrong, and goes on. */
  readonly printFailure: (error: unknown) => Promise<void>;
}

export type Handler = (call: Call) => Promise<Answer>;

/** An answer whose body is of the named schema. */
export function answer<N extends OutputName>(
  _schema: N,
  outcome: Outcome,
  body: Omit<Output[N], 'verb' | 'outcome' | 'exitCode'>,
  lines: Answer['lines'],
): Answer {
  return { outcome, body, lines };
}

/** Resolves when the signal is aborted. */
export const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** For what only reads. */
const NOTHING_CHANGED = 'nothing was changed: run it again';

/** The work's result; rejects with `Interrupted`, and what to do then, when the signal comes first. */
export async function unlessInterrupted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  next = NOTHING_CHANGED,
): Promise<T> {
  const stopped = whenAborted(signal).then(() => {
    throw new Interrupted(next);
  });
  return Promise.race([work, stopped]);
}

/** What standard error says of stores that could not be asked. */
export function awayNotice(names: readonly StoreName[], { stores }: Pick<OperatorContext, 'stores'>): string {
  const variables = (which: readonly StoreName[]) => which.map((name) => VARIABLES[name]).join(' and ');
  const unset = names.filter((name) => stores[name] === null);
  const silent = names.filter((name) => stores[name] !== null);
  const parts = [
    silent.length > 0 &&
      `${silent.join(' and ')} cannot be reached: check the server and ${variables(silent)}`,
    unset.length > 0 && `${unset.join(' and ')} is not configured: set ${variables(unset)}`,
  ];
  return parts.filter((part) => part !== false).join('; ');
}
