/** `cutover` in the container image: the very files that the Dockerfile takes along, without the packages of development. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCKERFILE = readFileSync(join(ROOT, 'Dockerfile'), 'utf8').replaceAll('\\\n', '');
const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);

const image = mkdtempSync(join(tmpdir(), 'image-'));
const app = join(image, 'app');
afterAll(() => rmSync(image, { recursive: true, force: true }));

/** What `npm ci --omit=dev --ignore-scripts` leaves: production's packages, and of the package `node` no program. */
function installPackages(): void {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  for (const [path, { dev }] of Object.entries<{ readonly dev?: boolean }>(lock.packages)) {
    if (dev === true || !/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path)) continue;
    mkdirSync(join(app, dirname(path)), { recursive: true });
    if (path === 'node_modules/node')
      cpSync(join(ROOT, path, 'package.json'), join(app, path, 'package.json'));
    else symlinkSync(join(ROOT, path), join(app, path));
  }
}

/** As a builder of images would, but for the packages and for where the root is. */
function build(): void {
  mkdirSync(join(image, 'usr/local/bin'), { recursive: true });
  installPackages();
  for (const [, from = '', to = ''] of DOCKERFILE.matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)) {
    for (const file of from.split(' ')) {
      cpSync(join(ROOT, file), to.endsWith('/') ? join(app, to, file) : join(app, to), { recursive: true });
    }
  }
  for (const [, command = ''] of DOCKERFILE.matchAll(/^RUN (.+)$/gm)) {
    // Only root may give a folder away, and only an image has that user.
    const rest = command
      .replace(/ && chown .*$/, '')
      .replace(/^npm ci [^&]*(&& )?/, '')
      .replaceAll(/ (?=\/(app|usr)\/)/g, ` ${image}`);
    execFileSync('sh', ['-ec', rest], { cwd: app, env: { PATH } });
  }
}

const cutover = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  new Promise<{ readonly code: unknown; readonly out: string; readonly err: string }>((resolve) => {
    const program = join(image, 'usr/local/bin/cutover');
    execFile(program, args, { env: { PATH, NODE_ENV: 'production', ...env } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : error.code, out, err }),
    );
  });

test('it is on the path, and runs on the image\u2019s own Node and production\u2019s packages', {
  timeout: 120_000,
}, async () => {
  build();
  expect(await cutover(['help'])).toMatchObject({ code: 0, out: expect.stringMatching(/snapshot restore/) });
  const nowhere = { MONGO_URL: 'mongodb://127.0.0.1:1/x', DATABASE_URL: 'postgres://127.0.0.1:1/x' };
  expect(await cutover(['status'], { ...nowhere, STORE_TIMEOUT: '300ms' })).toMatchObject({
    code: 5,
    err: expect.stringMatching(/MongoDB cannot be reached/),
  });
});
