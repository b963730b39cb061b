/** The move as Prometheus sees it at /metrics: of a real service on real stores, through flips and a change of authority. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemEnvironment } from '../../cutover/environment.ts';
import { MODES, type Mode } from '../../cutover/mode.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import type { OperatorContext } from '../../cutover/operator/types.ts';
import { SILENT } from '../../cutover/telemetry.ts';
import { startApp } from '../support/app.ts';
import { newPerson } from '../support/users.ts';
import { eventually } from '../support/wait.ts';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function parse(text: string): readonly Sample[] {
  return text.split('\n').flatMap((line): Sample[] => {
    const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null) return [];
    const pairs = [...(found[2] ?? '').matchAll(/([a-z_]+)="([^"]*)"/g)];
    const labels = Object.fromEntries(pairs.map(([, name, value]) => [name, value]));
    return [{ name: found[1] ?? '', labels, value: Number(found[3]) }];
  });
}

describe('metrics of the move', async () => {
  // The ages are told from the clock, so that it has to go.
  const app = await startApp('shadow-read', { now: () => new Date() });
  const context: OperatorContext = {
    stores: { mongo: app.app.mongo, postgres: app.app.postgres },
    environment: systemEnvironment(),
    telemetry: SILENT,
    report: () => {},
  };

  const scrape = async () => parse((await app.client().get('/metrics')).text);

  /** The sum over all samples with these labels. */
  async function sum(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const asked = Object.entries(labels);
    const found = (await scrape()).filter(
      (sample) => sample.name === name && asked.every(([label, value]) => sample.labels[label] === value),
    );
    return found.reduce((total, { value }) => total + value, 0);
  }

  async function walk(to: Mode, direction: 'promote' | 'rollback'): Promise<void> {
    const force = { reason: 'a test' };
    const request = { to, direction, force, timeoutMs: 60_000, noForeignWriters: true } as const;
    const result = await move(context, request);
    expect([result.kind, ...result.reasons, ...result.failing.map(({ name }) => name)]).toEqual(['done']);
  }

  async function expectMode(mode: Mode): Promise<void> {
    const modes = (await scrape()).filter(({ name }) => name === 'cutover_mode');
    expect(Object.fromEntries(modes.map(({ labels, value }) => [labels['mode'], value]))).toEqual(
      Object.fromEntries(MODES.map((each) => [each, each === mode ? 1 : 0])),
    );
  }

  test('each operation is timed by store, mode and outcome', async () => {
    const ok = { store: 'mongo', mode: 'shadow-read', outcome: 'ok' };
    const count = () => sum('cutover_operation_duration_seconds_count', ok);
    const before = await count();
    const person = await newPerson(app);
    await person.client.get('/auth/me');
    expect(await count()).toBeGreaterThan(before);
    const refused = await app.client().post('/auth/signup', {
      email: person.email,
      name: 'Another',
      password: person.password,
    });
    expect(refused.status).toBe(409);
    expect(
      await sum('cutover_operation_duration_seconds_count', { store: 'mongo', outcome: 'refused' }),
    ).toBeGreaterThan(0);
  });

  test('what is mirrored and compared is counted', async () => {
    const applied = await sum('cutover_mirror_applied_total', { store: 'postgres' });
    const lags = await sum('cutover_mirror_lag_seconds_count', { store: 'postgres' });
    const matches = await sum('cutover_shadow_comparisons_total', { outcome: 'match' });
    const person = await newPerson(app);
    await eventually(async () => {
      await person.client.get('/auth/me');
      expect(await sum('cutover_mirror_applied_total', { store: 'postgres' })).toBeGreaterThan(applied);
      expect(await sum('cutover_mirror_lag_seconds_count', { store: 'postgres' })).toBeGreaterThan(lags);
      expect(await sum('cutover_shadow_comparisons_total', { outcome: 'match' })).toBeGreaterThan(matches);
    });
  });

  test('what waits for a mirror that is paused shows, and how long, and goes', async () => {
    await setSetting(context, 'mirror-paused', 'true');
    onTestFinished(async () => {
      await setSetting(context, 'mirror-paused', 'false');
    });
    await eventually(async () => {
      await newPerson(app);
      expect(await sum('cutover_mirror_pending')).toBeGreaterThan(0);
      expect(await sum('cutover_mirror_oldest_seconds')).toBeGreaterThan(0);
    });
    await setSetting(context, 'mirror-paused', 'false');
    await eventually(async () => expect(await sum('cutover_mirror_pending')).toBe(0));
  });

  test('the lease, and the connections of both stores', async () => {
    expect(await sum('cutover_serving')).toBe(1);
    const age = await sum('cutover_lease_age_seconds');
    expect(age).toBeGreaterThan(0);
    expect(age).toBeLessThan(5);
    for (const store of ['mongo', 'postgres']) {
      const max = await sum('store_pool_connections', { store, state: 'max' });
      expect(max).toBe(Number(app.env[store === 'mongo' ? 'MONGO_POOL_MAX' : 'POSTGRES_POOL_MAX']));
      const open = ['used', 'idle'].map((state) => sum('store_pool_connections', { store, state }));
      const [used = 0, idle = 0] = await Promise.all(open);
      expect(used + idle).toBeGreaterThan(0);
    }
  });

  test('flips by their ends, the epoch, and how long requests waited', async () => {
    await expectMode('shadow-read');
    const epoch = await sum('cutover_epoch');
    const person = await newPerson(app);
    let over = false;
    const knocking = (async () => {
      while (!over) expect((await person.client.get('/auth/me')).status).toBe(200);
    })();
    try {
      await walk('postgres-primary', 'promote');
    } finally {
      over = true;
      await knocking;
    }
    await eventually(() => expectMode('postgres-primary'));
    expect(await sum('cutover_epoch')).toBe(epoch + 1);
    expect(await sum('cutover_flips_total', { from: 'shadow-read', to: 'postgres-primary' })).toBe(1);
    expect(await sum('cutover_pause_duration_seconds_count')).toBeGreaterThan(0);
    await walk('shadow-read', 'rollback');
    await eventually(() => expectMode('shadow-read'));
    expect(await sum('cutover_flips_total', { from: 'postgres-primary', to: 'shadow-read' })).toBe(1);
    expect(await sum('cutover_epoch')).toBe(epoch + 2);
  });

  test('no label holds anything but a fixed word', async () => {
    const samples = (await scrape()).filter(({ name }) => /^(cutover|store)_/.test(name));
    const words = samples.flatMap(({ labels }) =>
      Object.entries(labels)
        .filter(([label]) => label !== 'le')
        .map(([, value]) => value),
    );
    expect(words.length).toBeGreaterThan(20);
    expect(words.filter((word) => !/^[a-z]+([-A-Z][A-Za-z]*)*$/.test(word))).toEqual([]);
    const longest = Math.max(...words.map((word) => word.length));
    expect(longest).toBeLessThan(32);
  });
});
