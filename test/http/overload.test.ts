import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { HASH_WAIT_MAX_MS } from '../../plugins/passwords/passwords.ts';
import { startApp } from '../support/app.ts';
import { expectReady } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

const app = await startApp('postgres-only', { env: { REQUEST_TIMEOUT: '1s' } });
const full = await startApp('postgres-only', { beside: app, env: { SHED_HEAP_MAX: '1' } });

/** Sends a part of a request and never the rest; what the server says before it hangs up. */
async function sendPart(part: string): Promise<string> {
  const { hostname, port } = new URL(app.url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString();
  });
  socket.on('error', () => {});
  socket.write(part);
  await once(socket, 'close');
  return answer;
}

test.concurrent.each([
  ['headers', 'POST /auth/login HTTP/1.1\r\nHost: auth\r\n'],
  [
    'a body',
    'POST /auth/login HTTP/1.1\r\nHost: auth\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"email":',
  ],
])('a client that never finishes %s is cut off', async (_what, part) => {
  const answer = await sendPart(part);
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  expect(answer).toContain('"code":"request_timeout"');
});

test('past its memory the service sheds load with 503, but not those who ask whether it lives', async () => {
  const client = full.client();
  const shed = await eventually(async () => {
    const answer = await client.get('/auth/me');
    expect(answer.status).toBe(503);
    return answer;
  });
  expect(shed.body).toMatchObject({ code: 'overloaded' });
  expect(Number(shed.headers['retry-after'])).toBeGreaterThan(0);
  await expectReady(full);
  for (const probe of ['/livez', '/metrics']) {
    expect((await client.get(probe)).status).toBe(200);
  }
});

test('who waits for a thread that hashes is answered before the connection ends, at each of two hashes', () => {
  expect(app.app.server.timeout).toBeGreaterThan(2 * HASH_WAIT_MAX_MS + app.config.storeTimeoutMs);
});
