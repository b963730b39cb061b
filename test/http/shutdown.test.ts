import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../db/embedded/ports.ts';
import { FIRST_MODE } from '../../plugins/config/modes.ts';
import { inEveryMode } from '../support/app.ts';
import { startInbox } from '../support/inbox.ts';
import { DELAY_ENDS_AT_SIGNAL, preloaded } from '../support/preload.ts';
import { durableStoreEnv, productionEnv, type Service, startService } from '../support/service.ts';
import { ownPostgres } from '../support/stores.ts';
import { newEmail, newPassword } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

/** Processes that start and hashes at real cost take long on a machine that does other things as well. */
const PATIENT = { timeout: 120_000 };

/** A connection that is spoken to by hand. */
async function dial(
  service: Service,
): Promise<{ socket: Socket; received: () => string; closed: Promise<void> }> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  await new Promise<void>((resolve) => socket.on('connect', resolve));
  return { socket, received: () => received, closed };
}

/** A POST that the service has said it goes on reading, and has no more of than this. */
async function begin(service: Service, path: string, length: number, start: string) {
  const { socket, received, closed } = await dial(service);
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: x',
    'Content-Type: application/json',
    `Content-Length: ${length}`,
    'Expect: 100-continue',
  ];
  const goesOn = 'HTTP/1.1 100 Continue\r\n\r\n';
  socket.write(`${head.join('\r\n')}\r\n\r\n${start}`);
  await eventually(() => expect(received()).toBe(goesOn));
  return { socket, received: () => received().slice(goesOn.length), closed };
}

/** Whether anybody listens there. */
async function attempt(port: number): Promise<'connected' | 'refused'> {
  const socket = connect(port, '127.0.0.1');
  const outcome = await new Promise<'connected' | 'refused'>((resolve) => {
    socket.once('connect', () => resolve('connected'));
    socket.once('error', () => resolve('refused'));
  });
  socket.destroy();
  return outcome;
}

/** Starts it on a port that is given to nobody by chance once it is free again. */
const start = async (env: Readonly<Record<string, string>>): Promise<Service> =>
  startService({ ...env, PORT: String(await freePort()) });

const server = await ownPostgres();

inEveryMode(async (mode) => {
  const inbox = await startInbox();
  const stores = await durableStoreEnv(mode, server);

  test(
    'SIGTERM: /readyz turns 503, what is in flight finishes, mails too, idle connections do not hold it up, exit code 0',
    PATIENT,
    async () => {
      const service = await start({
        ...productionEnv(stores, inbox),
        ...DELAY_ENDS_AT_SIGNAL,
      });
      await eventually(async () => expect((await service.client().get('/readyz')).status).toBe(200));
      expect((await service.client().get('/dev/inbox')).status).toBe(404);
      const release = inbox.hold();
      const email = newEmail();
      const body = JSON.stringify({ email, name: 'Ada', password: newPassword() });
      const inFlight = await begin(service, '/auth/signup', body.length, body.slice(0, 10));
      const idle = await dial(service);
      idle.socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
      await eventually(() => expect(idle.received()).toMatch(/^HTTP\/1\.1 200/));
      const probe = service.client();
      const port = Number(new URL(service.url).port);
      service.kill('SIGTERM');
      await eventually(async () => expect((await probe.get('/readyz')).status).toBe(503));
      expect((await probe.get('/livez')).status).toBe(200);
      inFlight.socket.write(body.slice(10));
      await eventually(() => expect(inFlight.received()).toMatch(/^HTTP\/1\.1 201/));
      await eventually(() => expect(inbox.held()).toBe(1));
      service.kill('SIGUSR2');
      await eventually(async () => expect(await attempt(port)).toBe('refused'));
      release();
      expect(await service.exited).toEqual({ code: 0, signal: null });
      expect(inbox.to(email, 'verify-email')).toHaveLength(1);
      await Promise.all([inFlight.closed, idle.closed]);
      expect(await attempt(port)).toBe('refused');
    },
  );
});

/** A login of which the service has the beginning, until `finish` sends the rest. */
async function beginLogin(service: Service) {
  const body = JSON.stringify({ email: newEmail(), password: newPassword() });
  const { socket, received } = await begin(service, '/auth/login', body.length, '{');
  return { finish: () => socket.write(body.slice(1)), received };
}

describe('whatever the mode', async () => {
  const inbox = await startInbox();
  const stores = await durableStoreEnv(FIRST_MODE, server);

  test('a connection whose request outlives the listener ends with its answer', PATIENT, async () => {
    const service = await start({ ...productionEnv(stores, inbox), SHUTDOWN_GRACE: '60s' });
    const { port } = new URL(service.url);
    const inFlight = await beginLogin(service);
    service.kill('SIGTERM');
    await eventually(async () => expect(await attempt(Number(port))).toBe('refused'));
    inFlight.finish();
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(inFlight.received()).toMatch(/^HTTP\/1\.1 401[\s\S]*\r\nconnection: close\r\n/i);
  });

  test('a request that never ends is given up after SHUTDOWN_GRACE, with exit code 1', PATIENT, async () => {
    const service = await start({ ...productionEnv(stores, inbox), SHUTDOWN_GRACE: '500ms' });
    await begin(service, '/auth/login', 99, '{');
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 1, signal: null });
  });

  /** Throws where nobody catches it, when it is told to. */
  const FAILING = {
    'uncaught exception': "process.on('SIGUSR2',()=>{throw new Error('of nobody')})",
    'unhandled rejection': "process.on('SIGUSR2',()=>{Promise.reject(new Error('of nobody'))})",
  };

  test.each(Object.entries(FAILING))(
    'an error that nobody caught (%s) is logged; what is in flight finishes, nothing more is taken, exit code 1',
    PATIENT,
    async (reason, code) => {
      const service = await start({
        ...productionEnv(stores, inbox),
        // Nobody sends more to a process that is broken.
        SHUTDOWN_DELAY: '5m',
        SHUTDOWN_GRACE: '60s',
        ...preloaded(code),
      });
      const { port } = new URL(service.url);
      const inFlight = await beginLogin(service);
      service.kill('SIGUSR2');
      await eventually(async () => expect(await attempt(Number(port))).toBe('refused'));
      inFlight.finish();
      expect(await service.exited).toEqual({ code: 1, signal: null });
      expect(inFlight.received()).toMatch(/^HTTP\/1\.1 401/);
      const fatal = service
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{"level":60'));
      expect(fatal.map((line) => JSON.parse(line))).toMatchObject([
        { msg: reason, err: { message: 'of nobody', stack: expect.stringContaining('of nobody') } },
      ]);
    },
  );
});
