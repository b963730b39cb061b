/** better-auth over its own node handler, in a process of its own: e-mail and password, sessions in PostgreSQL. */
import { createHash } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { answerRequests, endWithParent } from '../lib/child.ts';
import { startGauges } from '../lib/gauges.ts';

/** The little of its interface that is used here: the type check of the service runs without its packages. */
interface Peer {
  betterAuth(options: object): object;
  toNodeHandler(auth: object): RequestListener;
  getMigrations(options: object): Promise<{ runMigrations(): Promise<void> }>;
}

endWithParent();
const load = (name: string): Promise<Partial<Peer>> => import(name);
const peer = {
  ...(await load('better-auth')),
  ...(await load('better-auth/node')),
  ...(await load('better-auth/db/migration')),
} as Peer;

const env = (name: string): string => process.env[name] ?? '';

/** Seeding only: passwords are not measured here. */
const digest = async (password: string): Promise<string> =>
  createHash('sha256').update(password).digest('hex');

const options = {
  baseURL: env('PUBLIC_URL'),
  secret: env('PEER_SECRET'),
  database: new pg.Pool({ connectionString: env('DATABASE_URL'), max: Number(env('POSTGRES_POOL_MAX')) }),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: digest,
      verify: async (given: { hash: string; password: string }) =>
        given.hash === (await digest(given.password)),
    },
  },
  session: {
    cookieCache: { enabled: false },
    // 0: every look-up also extends the session in the database.
    updateAge: Number(env('PEER_UPDATE_AGE_S')),
  },
  rateLimit: { enabled: false },
  logger: { disabled: true },
  telemetry: { enabled: false },
  // Session and user in one query, as our side does it; its default is two.
  advanced: { database: { joins: env('PEER_JOINS') === '1' } },
};

await (await peer.getMigrations(options)).runMigrations();
const read = startGauges({ loopDelay: false });
const server = createServer(peer.toNodeHandler(peer.betterAuth(options)));
server.keepAliveTimeout = 72_000;
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
process.on('SIGTERM', () => process.exit(0));

answerRequests<{ readonly type: 'start' | 'read' }>(async ({ type }) =>
  type === 'start' ? (server.address() as AddressInfo).port : read(),
);
