/**
 * LaunchDarkly's `createMigration` over two sources that answer at once. The flag comes from its test data source, in
 * this process, and no events are sent: the least work it can be configured to.
 */
import type { Mode } from '../../../cutover/mode.ts';
import { type CallsRequest, timeCalls } from '../lib/calls.ts';
import { answerRequests, endWithParent } from '../lib/child.ts';

type Result = object;
type Method = (payload?: unknown) => Promise<Result>;
interface Flag {
  valueForAll(value: string): Flag;
}
interface Source {
  flag(key: string): Flag;
  update(flag: Flag): Promise<void>;
  getFactory(): unknown;
}
interface Client {
  waitForInitialization(options: { readonly timeout: number }): Promise<unknown>;
}
type Call = (key: string, context: object, fallback: string, payload: unknown) => Promise<Result>;

/** The little of its interface that is used here: the type check of the service runs without its packages. */
interface Peer {
  readonly integrations: { readonly TestData: new () => Source };
  init(key: string, options: object): Client;
  createMigration(
    client: Client,
    config: Readonly<Record<'readOld' | 'readNew' | 'writeOld' | 'writeNew', Method>> & {
      readonly check: (a: unknown, b: unknown) => boolean;
    },
  ): { readonly read: Call; readonly write: Call };
  LDMigrationSuccess(result: unknown): Result;
}

/** What comes nearest to each mode. */
const STAGES: Readonly<Record<Mode, string>> = {
  'mongo-only': 'off',
  'dual-write': 'dualwrite',
  'shadow-read': 'shadow',
  'postgres-primary': 'live',
  'postgres-only': 'complete',
};

endWithParent();
process.on('SIGTERM', () => process.exit(0));

const load = (name: string): Promise<Peer> => import(name);
const peer = await load('@launchdarkly/node-server-sdk');
const source = new peer.integrations.TestData();
const quiet = (): void => {};
const client = peer.init('offline', {
  updateProcessor: source.getFactory(),
  sendEvents: false,
  diagnosticOptOut: true,
  logger: { debug: quiet, info: quiet, warn: console.error, error: console.error },
});
for (const stage of Object.values(STAGES)) await source.update(source.flag(stage).valueForAll(stage));
await client.waitForInitialization({ timeout: 5 });

const nothing: Method = async () => peer.LDMigrationSuccess(null);
const migration = peer.createMigration(client, {
  readOld: nothing,
  readNew: nothing,
  writeOld: nothing,
  writeNew: nothing,
  check: (a, b) => a === b,
});
const context = { kind: 'user', key: '0123456789abcdef01234567' };

answerRequests<CallsRequest>(async ({ mode, kind, calls }) => {
  const stage = STAGES[mode];
  // A flag that it does not find would be answered with its default, at less cost.
  return timeCalls(calls, () => migration[kind](stage, context, 'rampdown', null));
});
