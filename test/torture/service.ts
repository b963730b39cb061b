/** The service with a seeded bug: `TORTURE_BUG` names it. Otherwise as `npm start`. */
import { loadConfig } from '../../plugins/config.ts';
import { startServer, stopOnSignals } from '../../src/server.ts';
import { BUGS, seamsOf } from './bugs.ts';

const { TORTURE_BUG: name, ...env } = process.env;
const bug = BUGS.find((known) => known === name);
if (bug === undefined) throw new Error(`TORTURE_BUG must be one of ${BUGS.join(', ')}`);
const config = loadConfig(env, { production: true });
stopOnSignals(await startServer(config, seamsOf(bug, env['DATABASE_URL'] ?? '')), config);
