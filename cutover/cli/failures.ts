/** Whatever went wrong, as one sentence with a remedy and an exit code: no stack, no URL, no password. */
import { STORES, StaleEpoch, type StoreName, StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { ToolFailed } from '../../db/postgres/snapshot/tools.ts';
import { WrongArgument } from '../argument.ts';
import { OtherSystem, RestoredStore, readControl, UnreadableControl } from '../control.ts';
import { CopyRefused } from '../copy/types.ts';
import { AuthorityUnknown } from '../operator/index.ts';
import type { PerStore } from '../protocol/types.ts';
import { FolderFailed, SnapshotRefused } from '../snapshot/types.ts';
import { remedyOf, STORE_NAMES, troubleOf, VARIABLES } from '../words.ts';
import type { Outcome } from './exit-codes.ts';
import { UsageError } from './parse.ts';

/** The environment cannot be used: one line for each problem; no values. */
export class ConfigurationProblem extends Error {
  override readonly name = 'ConfigurationProblem';
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

/** Ctrl-C, or a request to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly next: string;
  constructor(next: string) {
    super('interrupted before it had an answer');
    this.next = next;
  }
}

export interface Failure {
  readonly outcome: Outcome;
  readonly message: string;
  readonly store: StoreName | null;
  readonly remedy: string | null;
}

const failure = (outcome: Outcome, message: string, remedy: string | null = null): Failure => ({
  outcome,
  message,
  store: null,
  remedy,
});

export function failureOf(error: unknown): Failure {
  if (error instanceof UsageError) {
    return failure(
      'usage',
      error.message,
      `see \`cutover help${error.verb === null ? '' : ` ${error.verb}`}\``,
    );
  }
  if (error instanceof ConfigurationProblem) return failure('usage', error.message);
  if (error instanceof WrongArgument) return failure('usage', error.message);
  if (error instanceof Interrupted) return failure('aborted', error.message, error.next);
  if (error instanceof StoreUnavailable) return unavailable(error);
  if (error instanceof StaleEpoch) {
    return failure('refused', 'authority has moved meanwhile: nothing more was written', 'cutover status');
  }
  if (error instanceof AuthorityUnknown) return failure('unreachable', error.message, error.remedy);
  if (error instanceof CopyRefused) return copyRefused(error);
  if (error instanceof SnapshotRefused) return failure('refused', error.message, error.remedy);
  if (error instanceof FolderFailed) return failure('aborted', error.message, error.remedy);
  if (error instanceof ToolFailed) {
    const message = `${error.message}; what it was doing was taken back, or the store is fenced`;
    return failure('aborted', message, error.isConnection ? TOOL_REMEDY : null);
  }
  if (error instanceof RestoredStore) {
    return { ...failure('refused', error.message, 'run `cutover snapshot clear`'), store: error.store };
  }
  if (error instanceof OtherSystem) {
    const remedy = 'give this command the URLs that the instances have; nothing was changed';
    return { ...failure('difference', error.message, remedy), store: error.store };
  }
  if (error instanceof UnreadableControl) {
    const remedy =
      error.cause === undefined
        ? 'run the version of this program that the instances run'
        : 'see that its user may read the tables or collections named cutover_*, and what the server logs';
    return { ...failure('difference', error.message, remedy), store: error.store };
  }
  // Whatever this is, its message may quote a query or a URL; its kind and place say enough to look it up.
  return failure(
    'difference',
    `an unexpected error (${kindAndPlace(error)}); its outcome is not known`,
    'look at `cutover status`',
  );
}

const TOOL_REMEDY =
  "PostgreSQL's programs have a connection of their own, by the same URL; with an empty folder in PG_BIN a new snapshot is made without them";

const COPY_REMEDIES: Readonly<Record<CopyRefused['reason'], string | null>> = {
  'schema-behind': 'run `npm run migrate`, then run it again',
  'not-authority': 'see `cutover status`; --from names the store that has authority',
  'no-mirror': 'start the mirror with `cutover promote`, or `cutover rollback` from postgres-only',
  'in-transition': 'see `cutover status`',
  'instances-behind': 'see `cutover status`: they follow, or have to be restarted',
  'other-mapping': 'give all the same version, and the same file: MONGO_MAPPING_FILE, and --mapping here',
  'mirror-gap': null,
  'authority-behind':
    '`cutover backfill --from postgres`, which puts it aside, or `cutover failover`, with PostgreSQL out of reach',
  'other-run': '`cutover backfill list` names all runs',
  busy: 'wait until it has ended; `cutover worker` helps it',
  'no-run': '`cutover backfill list` names all runs',
  'not-held': '`cutover quarantine list` names all that is',
  'unknown-state': null,
  stopped: null,
  overloaded:
    'wait until the service is fast again, or lower --rate; the bound is the setting backfill-stop-p99-ms',
};

/** What was begun and then stopped, or came to nothing, is no refusal. */
function copyRefused({ reason, message }: CopyRefused): Failure {
  const begun = reason === 'stopped' || reason === 'overloaded' || reason === 'mirror-gap';
  return failure(begun ? 'aborted' : 'refused', message, COPY_REMEDIES[reason]);
}

function kindAndPlace(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code } = error as { code?: unknown };
  const known = typeof code === 'string' && /^\w{3,40}$/.test(code) ? ` ${code}` : '';
  const place = /\/((?:src|plugins|cutover|db)\/[\w./-]+\.ts:\d+)/.exec(error.stack ?? '')?.[1];
  return `${error.name}${known}${place === undefined ? '' : ` at ${place}`}`;
}

/**
 * The same, for what only the stores themselves can tell: which of them does not answer and why, or that all do, so that
 * there is no system yet.
 */
export async function diagnose(error: unknown, stores: PerStore<Store | null>): Promise<Failure> {
  const first = failureOf(error);
  if (!(error instanceof AuthorityUnknown) || error.remedy !== null) return first;
  const opened = [stores.mongo, stores.postgres].filter((store) => store !== null);
  const troubles = await Promise.all(opened.map((store) => store.ping().then(() => null, failureOf)));
  const found = troubles.filter((each) => each !== null);
  const [one] = found;
  if (one !== undefined) {
    const remedy = found.map(({ message, remedy: what }) => `${message}: ${what}`).join('\n  ');
    return { ...first, store: found.length === 1 ? one.store : null, remedy };
  }
  const hasRecord = (store: Store) =>
    readControl(store)
      .then((record) => record !== null)
      .catch(() => true);
  if ((await Promise.all(opened.map(hasRecord))).includes(true))
    return { ...first, remedy: 'it answers by now: look at `cutover status`, then run it again' };
  const unset = STORES.filter((name) => stores[name] === null).map((name) => VARIABLES[name]);
  if (unset.length > 0) return { ...first, remedy: `set ${unset.join(' and ')} too, if the system has it` };
  return { ...first, outcome: 'refused', remedy: 'start an instance of the service first' };
}

function unavailable(error: StoreUnavailable): Failure {
  const { store, reason, outcome } = error;
  if (store === null) return failure('unreachable', error.message);
  const sure =
    outcome === 'unknown' ? '; what was under way may have happened: look at `cutover status`' : '';
  return {
    outcome: 'unreachable',
    message: `${STORE_NAMES[store]} ${troubleOf(reason)}${detailOf(error)}${sure}`,
    store,
    remedy: remedyOf(store, reason),
  };
}

/** What servers and systems say by code. Their messages may name hosts and users, so these are not shown. */
const CODES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'its host name is not known',
  EAI_AGAIN: 'its host name cannot be resolved now',
  ETIMEDOUT: 'its host does not answer',
  EHOSTUNREACH: 'there is no way to its host',
  '28P01': 'it refuses the password',
  '28000': 'it refuses the user',
  '3D000': 'it has no such database',
  '53200': 'it has no memory left',
  '53300': 'it has no connection left',
  AuthenticationFailed: 'it refuses the user or the password',
};

function detailOf(error: Error): string {
  for (let cause: unknown = error.cause, depth = 0; cause instanceof Error && depth < 5; depth += 1) {
    const { code, codeName } = cause as { code?: unknown; codeName?: unknown };
    const known = [code, codeName].find((each) => typeof each === 'string' && each in CODES);
    if (typeof known === 'string') return ` (${CODES[known]})`;
    cause = cause.cause;
  }
  return '';
}
