/** The move as Prometheus sees it at /metrics: of a real service on real stores, through flips and a change of authority. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { changeControl, readControl } from '../../cutover/control.ts';
import { systemEnvironment } from '../../cutover/environment.ts';
import { MODES, type Mode } from '../../cutover/mode.ts';
import { NOTES } from '../../cutover/notes.ts';
import { move, setSetting } from '../../cutover/operator/index.ts';
import type { OperatorContext } from '../../cutover/operator/types.ts';
import { COUNTERS, HISTOGRAMS, SILENT } from '../../cutover/telemetry.ts';
import { newAccount } from '../contract/fixtures.ts';
import { startApp } from '../support/app.ts';
import { complaints, namedIn } from '../support/metric-names.ts';
import { newPerson } from '../support/users.ts';
import { eventually } from '../support/wait.ts';
import { announce } from './support/control.ts';

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
  const app = await startApp('shadow-read', { now: () => new Date(), pace: 'usual' });
  const context: OperatorContext = {
    stores: { mongo: app.app.mongo, postgres: app.app.postgres },
    environment: systemEnvironment(),
    telemetry: SILENT,
    report: () => {},
  };

  // However long the machine stands still: no lease lapses, and each change of authority is made at the first attempt.
  beforeAll(async () => {
    for (const [key, value] of [
      ['lease-ms', '60000'],
      ['deadline-ms', '60000'],
      ['fence-max-ms', '50000'],
    ] as const)
      expect(await setSetting(context, key, value)).toMatchObject({ kind: 'done' });
  });

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
      const { client } = await newPerson(app);
      await client.get('/auth/me');
      expect(await sum('cutover_mirror_pending')).toBeGreaterThan(0);
      expect(await sum('cutover_mirror_oldest_seconds')).toBeGreaterThan(0);
      expect(await sum('cutover_mirror_queued')).toBeGreaterThan(0);
      // They lag, and are looked at again later.
      expect(await sum('cutover_shadow_queued')).toBeGreaterThan(0);
    });
    await setSetting(context, 'mirror-paused', 'false');
    await eventually(async () => {
      expect(await sum('cutover_mirror_pending')).toBe(0);
      expect(await sum('cutover_mirror_queued')).toBe(0);
    });
  });

  test('a write in the mirror that nobody was told of is counted by what became of it', async () => {
    const { postgres } = app.app;
    if (postgres === null) throw new Error('shadow-read has a PostgreSQL');
    await postgres.at({ epoch: 1, pending: true }).createAccount(newAccount());
    await eventually(async () =>
      expect(await sum('cutover_mirror_orphans_total', { store: 'postgres' })).toBeGreaterThan(0),
    );
  });

  test('what is noted, whoever noted it: foreign writes and quarantine that are not settled yet', {
    timeout: 60_000,
  }, async () => {
    const { mongo } = app.app;
    const now = new Date();
    // As verify leaves them, which has no metrics of its own.
    const body = { store: 'mongo', change: 'differs', foundBy: 'verify', foundAtMs: now.getTime() };
    const key = `user/${newAccount().user.id}`;
    await mongo?.books.putNote(NOTES.foreign, key, body, now);
    // Whoever put it there: the gates ask what the books say.
    await mongo?.books.putNote(NOTES.quarantine, key, { run: 'a test' }, now);
    await eventually(
      async () => {
        expect(await sum('cutover_foreign_open')).toBeGreaterThan(0);
        expect(await sum('cutover_notes_open', { kind: 'quarantine' })).toBe(1);
        expect(await sum('cutover_notes_open', { kind: 'conflict' })).toBe(0);
      },
      { timeoutMs: 30_000 },
    );
    await mongo?.books.deleteNote(NOTES.foreign, key);
    await mongo?.books.deleteNote(NOTES.quarantine, key);
  });

  test('the revision that is followed, and that this instance watches for foreign writes', async () => {
    await setSetting(context, 'shadow-rate', '190');
    const { mongo } = app.app;
    const record = mongo === null ? null : await readControl(mongo);
    expect(record?.revision).toBeGreaterThan(1);
    await eventually(async () => {
      expect(await sum('cutover_revision')).toBe(record?.revision);
      expect(await sum('cutover_foreign_watching')).toBe(1);
    });
  });

  test('what waits at a fence, and what is one too many for it, which is told when to come again', async () => {
    const { mongo, repository } = app.app;
    if (mongo === null) throw new Error('shadow-read has a MongoDB');
    const { client, id } = await newPerson(app);
    const transition = {
      id: 'a-fence',
      target: 'postgres-primary',
      phase: 'announced',
      deadlineMs: 60_000,
    } as const;
    await announce(mongo, transition);
    await changeControl(mongo, { kind: 'fence', id: transition.id });
    await eventually(() => app.app.cutover.status().standing === 'fenced');
    const waiting = Promise.allSettled(Array.from({ length: 1_000 }, () => repository.findUser(id)));
    const refused = () => sum('cutover_refused_total', { reason: 'queue-full' });
    const before = await refused();
    const tooMany = await client.get('/auth/me');
    const seen = await sum('cutover_waiting');
    await changeControl(mongo, { kind: 'abort', id: transition.id });
    // The service writes for itself too, as after a mail: that may wait in the place of one, or be refused as well.
    const answered = (await waiting).filter(({ status }) => status === 'fulfilled');
    expect(answered.length).toBeGreaterThan(990);
    expect(tooMany.status).toBe(503);
    expect(Number(tooMany.headers['retry-after'])).toBeGreaterThan(0);
    expect(seen).toBe(1_000);
    expect(await refused()).toBeGreaterThan(before);
    await eventually(async () => expect(await sum('cutover_waiting')).toBe(0));
  });

  test('the lease, and the connections of both stores', async () => {
    expect(await sum('cutover_serving')).toBe(1);
    await eventually(async () => {
      const age = await sum('cutover_lease_age_seconds');
      expect(age).toBeGreaterThan(0);
      expect(age).toBeLessThan(5);
    });
    for (const store of ['mongo', 'postgres']) {
      const max = await sum('store_pool_connections_max', { store });
      expect(max).toBe(Number(app.env[store === 'mongo' ? 'MONGO_POOL_MAX' : 'POSTGRES_POOL_MAX']));
      const open = ['used', 'idle'].map((state) => sum('store_pool_connections', { store, state }));
      const [used = 0, idle = 0] = await Promise.all(open);
      expect(used + idle).toBeGreaterThan(0);
    }
  });

  test('flips by their ends, the epoch, and how long requests waited', async () => {
    await expectMode('shadow-read');
    const epoch = await sum('cutover_epoch');
    const pauses = await sum('cutover_pause_duration_seconds_count');
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
    expect(
      await sum('cutover_operation_duration_seconds_count', { store: 'postgres', mode: 'postgres-primary' }),
    ).toBeGreaterThan(0);
    expect(await sum('cutover_epoch')).toBe(epoch + 1);
    expect(await sum('cutover_flips_total', { from: 'shadow-read', to: 'postgres-primary' })).toBe(1);
    expect(await sum('cutover_pause_duration_seconds_count')).toBeGreaterThan(pauses);
    await walk('shadow-read', 'rollback');
    await eventually(() => expectMode('shadow-read'));
    expect(await sum('cutover_flips_total', { from: 'postgres-primary', to: 'shadow-read' })).toBe(1);
    expect(await sum('cutover_epoch')).toBe(epoch + 2);
  });

  test('every name, unit and label is as the conventions of Prometheus have it', () => {
    const named = namedIn(app.app.metrics.registry);
    const names = named.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([...Object.keys(COUNTERS), ...Object.keys(HISTOGRAMS), 'cutover_mode']),
    );
    expect(names).toEqual(expect.arrayContaining(['http_request_duration_seconds', 'auth_events_total']));
    expect(named.flatMap(complaints)).toEqual([]);
  });

  test('docs/metrics.md has exactly these, but for those of every Node process', () => {
    const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const own = namedIn(app.app.metrics.registry).filter(({ name }) => !/^(process|nodejs)_/.test(name));
    const rows = own.map(({ name, type, labels, help }) => {
      const words = labels.map((label) => `\`${label}\``).join(' ');
      return `| \`${name}\` | ${type} | ${words} | ${help.replace(/\.$/, '')} |`;
    });
    const listed = page.split('\n').filter((line) => /^\| `\w+` \| (counter|gauge|histogram) \|/.test(line));
    expect(listed).toEqual(rows.toSorted());
  });

  test('docs/alerts.yml asks for series and labels that there are', () => {
    const file = readFileSync(new URL('../../docs/alerts.yml', import.meta.url), 'utf8');
    const { groups }: { groups: { rules: { alert: string; expr: string }[] }[] } = parseYaml(file);
    const rules = groups.flatMap((group) => group.rules);
    const labelsOf = new Map(
      namedIn(app.app.metrics.registry).map(({ name, labels }) => [name, [...labels, 'instance']]),
    );
    for (const { alert, expr } of rules) {
      const asked = [...expr.matchAll(/\b([a-z]+(?:_[a-z]+)+)\b(?:\{(\w+)[=!])?/g)];
      expect(asked, alert).not.toEqual([]);
      for (const [, name = '', label = 'instance'] of asked)
        expect(labelsOf.get(name), name).toContain(label);
      const grouped = [...expr.matchAll(/\bby \((.*?)\)/g)].flatMap(([, names = '']) => names.split(', '));
      const known = asked.flatMap(([, name = '']) => labelsOf.get(name) ?? []);
      for (const label of grouped) expect(known, alert).toContain(label);
    }
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
