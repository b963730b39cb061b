/** From what was typed to an exit code. */
import type { Codec } from '../../db/canonical.ts';
import type { Environment } from '../environment.ts';
import type { Mode } from '../mode.ts';
import type { OperatorContext } from '../operator/types.ts';
import type { PerStore } from '../protocol/types.ts';
import { SILENT } from '../telemetry.ts';
import { askTime, clockNotice } from './clock.ts';
import { EXIT_CODES, type Outcome } from './exit-codes.ts';
import { diagnose, type Failure, failureOf } from './failures.ts';
import { abort, endSessions, eraseUser, failover, set } from './handlers/actions.ts';
import { type Answer, type Call, type Handler, whenAborted } from './handlers/call.ts';
import * as copy from './handlers/copy.ts';
import { conflicts, diffs, foreign, log, pending } from './handlers/lists.ts';
import { promote, rollback } from './handlers/moves.ts';
import { preflight } from './handlers/preflight.ts';
import * as quarantine from './handlers/quarantine.ts';
import * as snapshot from './handlers/snapshot.ts';
import { status } from './handlers/status.ts';
import { helpOf, overview } from './help.ts';
import { type Command, type Options, parseCommand, UsageError } from './parse.ts';
import { cut } from './table.ts';
import { createProgress, type ProgressLine, type Size, type Terminal } from './terminal.ts';
import { specOf, type VerbName } from './verbs.ts';

/** Files that were named on the command line. */
export interface Given {
  readonly envFile: string | null;
  readonly mappingFile: string | null;
}

export interface Opened {
  readonly stores: OperatorContext['stores'];
  /** `BACKEND_MODE`, when it is set. */
  readonly configuredMode: Mode | null;
  /** How documents are read and written; the default mapping when it is left out. */
  readonly codec?: Codec;
  /** Where they are; a verb that moves much has connections of its own. */
  readonly urls?: PerStore<string | null>;
  /** What else a verb may read: `PG_BIN`, `PATH`. */
  readonly env?: NodeJS.ProcessEnv;
  /** For `snapshot restore`, which needs one; see `Call`. */
  readonly restoreUrl?: Call['restoreUrl'];
  /** How long expired records are kept. */
  readonly retentionMs: number;
  /** How long a store may take to answer; only shown. */
  readonly storeTimeoutMs?: number;
  readonly close: () => Promise<void>;
}

/** For verbs that ask none. */
const NO_STORES: Opened = {
  stores: { mongo: null, postgres: null },
  configuredMode: null,
  retentionMs: 0,
  close: async () => {},
};

export interface Program {
  /** What follows the program's name. */
  readonly argv: readonly string[];
  readonly version: string;
  readonly terminal: Terminal;
  readonly environment: Environment;
  /** Reads the environment and the file, and opens the stores. Throws `ConfigurationProblem`. */
  readonly open: (given: Given) => Promise<Opened>;
  /** Aborted by Ctrl-C, or a request to end. */
  readonly interrupted: AbortSignal;
}

const HANDLERS: Readonly<Record<VerbName, Handler>> = {
  status,
  promote,
  rollback,
  abort,
  pending,
  conflicts,
  diffs,
  foreign,
  log,
  set,
  failover,
  'sessions end': endSessions,
  'users erase': eraseUser,
  backfill: copy.backfill,
  'backfill list': copy.list,
  'backfill show': copy.show,
  'backfill resume': copy.resume,
  'backfill rollback': copy.rollback,
  verify: copy.verify,
  repair: copy.repair,
  'quarantine list': quarantine.list,
  'quarantine retry': quarantine.retry,
  'quarantine accept': quarantine.accept,
  'quarantine drop': quarantine.drop,
  worker: copy.worker,
  preflight,
  'snapshot create': snapshot.create,
  'snapshot list': snapshot.list,
  'snapshot verify': snapshot.verify,
  'snapshot restore': snapshot.restore,
  'snapshot clear': snapshot.clear,
};

/** Resolves to the exit code; never rejects. */
export async function run(program: Program): Promise<number> {
  const { argv, terminal, version } = program;
  const json = argv.includes('--json');
  let command: Command;
  try {
    command = parseCommand(argv);
  } catch (error) {
    return printFailure(terminal, json, verbOf(error), failureOf(error));
  }
  if (command.kind === 'version') {
    terminal.out(`${version}\n`);
    return EXIT_CODES.done;
  }
  if (command.kind === 'help') {
    const columns = terminal.outSize()?.columns ?? null;
    terminal.out(command.verb === null ? overview(columns) : helpOf(command.verb, columns));
    return EXIT_CODES.done;
  }
  return runVerb(program, command);
}

const verbOf = (error: unknown): VerbName | null => (error instanceof UsageError ? error.verb : null);

async function runVerb(program: Program, command: Extract<Command, { kind: 'run' }>): Promise<number> {
  const { terminal, interrupted } = program;
  const { verb, words, options } = command;
  const json = options.has('json');
  const progress = createProgress(terminal, json);
  let opened: Opened | null = null;
  const failed = async (error: unknown): Promise<number> => {
    const failure = opened === null ? failureOf(error) : await diagnose(error, opened.stores);
    return printFailure(terminal, json, verb, failure);
  };
  try {
    const isAlone = specOf(verb).withoutStores === true;
    opened = isAlone ? NO_STORES : await program.open(filesOf(options));
    const { stores, configuredMode, codec, storeTimeoutMs = null } = opened;
    const time = askTime(program.environment, stores);
    const untold = whenAborted(interrupted).then(() => ({ environment: program.environment, aheadMs: 0 }));
    const { environment, aheadMs } = await Promise.race([time, untold]);
    if (aheadMs !== 0) terminal.err(`${terminal.errStyle.bad(`cutover: ${clockNotice(aheadMs)}`)}\n`);
    const last = await HANDLERS[verb]({
      verb,
      words,
      options,
      context: {
        stores,
        environment,
        telemetry: SILENT,
        report: progress.report,
        configuredMode,
        storeTimeoutMs,
        ...(codec && { codec }),
      },
      urls: opened.urls ?? { mongo: null, postgres: null },
      env: opened.env ?? {},
      restoreUrl: opened.restoreUrl ?? (async () => null),
      retentionMs: opened.retentionMs,
      tell: progress.tell,
      interrupted,
      unread: terminal.unread ?? new AbortController().signal,
      ask: json ? null : terminal.ask,
      print: (answer) => printAgain(terminal, json, verb, answer),
      printFailure: async (error) => {
        await failed(error);
      },
    });
    return print(terminal, progress, json, verb, last);
  } catch (error) {
    progress.end();
    return await failed(error);
  } finally {
    // Whatever a verb left to itself still works on them, and ends with the process.
    if (!interrupted.aborted) await opened?.close();
  }
}

const filesOf = (options: Options): Given => ({
  envFile: options.text('env-file'),
  mappingFile: options.text('mapping'),
});

const asJson = (verb: VerbName | null, outcome: Outcome, body: object): string =>
  `${JSON.stringify({ verb, outcome, exitCode: EXIT_CODES[outcome], ...body })}\n`;

function print(
  terminal: Terminal,
  progress: ProgressLine,
  json: boolean,
  verb: VerbName,
  answer: Answer,
): number {
  progress.end();
  const { outcome, body, lines, notice } = answer;
  const text = lines(terminal.outStyle);
  // The end of `--watch` says nothing.
  if (text.length > 0) terminal.out(json ? asJson(verb, outcome, body) : `${text.join('\n')}\n`);
  if (notice !== undefined) terminal.err(`${terminal.errStyle.bad(`cutover: ${notice}`)}\n`);
  return EXIT_CODES[outcome];
}

/** For `--watch`: over the last one on a terminal, otherwise after it. */
function printAgain(
  terminal: Terminal,
  json: boolean,
  verb: VerbName,
  { outcome, body, lines, notice }: Answer,
): void {
  if (json) {
    terminal.out(asJson(verb, outcome, body));
    return;
  }
  const text = [...(notice === undefined ? [] : [notice]), ...lines(terminal.outStyle)];
  if (!terminal.outIsTty) terminal.out(`${text.join('\n')}\n\n`);
  else terminal.out(screen(text, terminal.outSize()));
}

/** From the upper left corner; what does not fit is cut, or the next one would not come to lie over it. */
function screen(lines: readonly string[], size: Size | null): string {
  const { columns, rows } = size ?? { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };
  const shown = lines.slice(0, rows - 1).map((line) => `${cut(line, columns)}\u001b[K`);
  return `\u001b[H${shown.join('\n')}\n\u001b[J`;
}

function printFailure(terminal: Terminal, json: boolean, verb: VerbName | null, failure: Failure): number {
  const { outcome, message, store, remedy } = failure;
  if (json) terminal.out(asJson(verb, outcome, { error: { message, store, remedy } }));
  const text = `cutover: ${message}${remedy === null ? '' : `\n  ${remedy}`}`;
  terminal.err(`${terminal.errStyle.bad(text)}\n`);
  return EXIT_CODES[outcome];
}
