/**
 * The service with a seeded bug, which is named while it runs: `POST /NAME` on the socket `PORT.sock` in the folder
 * `TORTURE_SOCKETS`, and `POST /` for none. Otherwise as `npm start`.
 */
import { createServer } from 'node:http';
import { join } from 'node:path';
import { loadConfig } from '../../plugins/config.ts';
import { serve } from '../../src/server.ts';
import { BUGS, seedBugs } from './bugs.ts';

const { TORTURE_SOCKETS: sockets = '', ...env } = process.env;
const config = loadConfig(env, { production: true });
const { seams, use, late, kept } = seedBugs(env['DATABASE_URL'] ?? '');
// Before the service says that it is ready.
createServer((request, response) => {
  const name = request.url?.slice(1) ?? '';
  const bug = BUGS.find((known) => known === name) ?? null;
  if (request.method === 'POST') use(bug);
  response
    .writeHead(bug === null && name !== '' ? 404 : 200)
    .end(JSON.stringify({ late: late(), kept: kept() }));
}).listen(join(sockets, `${config.port}.sock`));
await serve(config, seams);
