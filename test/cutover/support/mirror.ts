/** Mirrors of several instances over two stores, with a member that does as it is told instead of keeping a lease. */
import { createBreaker } from '../../../cutover/breaker.ts';
import type { Environment } from '../../../cutover/environment.ts';
import type { Member, WorkPermit } from '../../../cutover/instance/member.ts';
import { createMirror, type Mirror, type MirrorOptions } from '../../../cutover/mirror/mirror.ts';
import { createPass, type Pass } from '../../../cutover/mirror/pass.ts';
import { authorityOf, type Mode, otherStore } from '../../../cutover/mode.ts';
import { newInstance } from '../../../cutover/protocol/lease.ts';
import type { ControlRecord, PerStore, Setting } from '../../../cutover/protocol/types.ts';
import { settingsOf } from '../../../cutover/settings.ts';
import type { Telemetry } from '../../../cutover/telemetry.ts';
import { isSameContent } from '../../../db/apply.ts';
import type { Repository, Store } from '../../../db/port.ts';
import { compareStamps, ENTITIES, type Entity, type RecordOf } from '../../../db/records.ts';
import type { Held } from '../../../db/replica.ts';
import { createMemoryStore, type Hooks, type MemoryStore } from '../../support/memory/store.ts';
import { type Clock, createClock } from '../operator-world.ts';

export interface Told {
  readonly logs: { readonly level: string; readonly fields: object; readonly message: string }[];
  /** By name and labels, such as `cutover_mirror_applied_total postgres`. */
  readonly counts: Map<string, number>;
  readonly telemetry: Telemetry;
}

export function listen(): Told {
  const logs: Told['logs'] = [];
  const counts = new Map<string, number>();
  const log = (level: string) => (fields: object, message: string) => {
    logs.push({ level, fields, message });
  };
  const telemetry: Telemetry = {
    debug() {},
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    count(name, labels, by = 1) {
      const key = [name, ...Object.values(labels)].join(' ');
      counts.set(key, (counts.get(key) ?? 0) + by);
    },
    observe() {},
  };
  return { logs, counts, telemetry };
}

export interface Puppet extends Member {
  /** Follows the record with these changes. */
  follow(changes: Partial<ControlRecord>): void;
  set(key: string, value: Setting): void;
  /** While false there are no permits, and those given have ended. */
  hasLease: boolean;
  /** Repairs begun and not settled. */
  readonly repairs: { open: number; begun: number; left: number };
}

export function puppet(mode: Mode, epoch = 1): Puppet {
  let record: ControlRecord = {
    mode,
    epoch,
    revision: 1,
    transition: null,
    changedBy: null,
    copy: { kind: 'none' },
    settings: {},
  };
  const listeners = new Set<(now: ControlRecord, before: ControlRecord | null) => void>();
  const repairs = { open: 0, begun: 0, left: 0 };
  const made: Puppet = {
    id: 'puppet',
    hasLease: true,
    repairs,
    state: () => newInstance('puppet'),
    record: () => record,
    mode: () => record.mode,
    settings: () => settingsOf(record),
    admit: () => Promise.reject(new Error('not a router')),
    admitNow: () => null,
    permitWork(): WorkPermit | null {
      if (!made.hasLease) return null;
      const { epoch: under, revision, mode: followed } = record;
      const mayContinue = (): boolean => made.hasLease && record.epoch === under;
      return {
        ticket: { incarnation: 1, epoch: under, revision, mode: followed, store: authorityOf(followed) },
        mayContinue,
        beginRepair() {
          if (!mayContinue() || record.transition?.phase === 'fenced') return null;
          repairs.open += 1;
          repairs.begun += 1;
          return {
            settle() {
              repairs.open -= 1;
            },
            settleLater() {
              repairs.open -= 1;
              repairs.left += 1;
            },
          };
        },
      };
    },
    onFollow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    follow(changes) {
      const before = record;
      record = { ...record, revision: record.revision + 1, ...changes };
      for (const listener of listeners) listener(record, before);
    },
    set(key, value) {
      made.follow({ settings: { ...record.settings, [key]: value } });
    },
  };
  return made;
}

export interface Instance {
  readonly mirror: Mirror;
  readonly member: Puppet;
}

export interface MirrorWorld extends Told {
  readonly clock: Clock;
  readonly authority: MemoryStore;
  readonly copy: MemoryStore;
  /** Faults, per role. */
  readonly hooks: { authority: Hooks; copy: Hooks };
  /** The first instance. */
  readonly mirror: Mirror;
  readonly member: Puppet;
  /** Writes as the first instance does, unless told otherwise. */
  readonly repo: Repository;
  /** Writes that no instance is told of. */
  readonly unnoticed: Repository;
  /** One more instance; `as` replaces the stores it sees. */
  join(as?: Partial<PerStore<Store>>): Instance;
}

/** The memory stores' contracts are the real ones'; `postgres-primary` exchanges their roles. */
export function mirrorWorld(mode: Mode = 'dual-write', epoch = 1): MirrorWorld {
  const clock = createClock();
  const hooks: MirrorWorld['hooks'] = { authority: {}, copy: {} };
  const name = authorityOf(mode);
  const authority = createMemoryStore({ name, now: clock.date, hooks: relay(() => hooks.authority) });
  const copy = createMemoryStore({ name: otherStore(name), now: clock.date, hooks: relay(() => hooks.copy) });
  const told = listen();
  const stores =
    name === 'mongo' ? { mongo: authority, postgres: copy } : { mongo: copy, postgres: authority };
  const join = (as: Partial<PerStore<Store>> = {}): Instance => {
    const member = puppet(mode, epoch);
    return { member, mirror: startMirror({ ...stores, ...as }, clock, told.telemetry, member) };
  };
  const { mirror, member } = join();
  return {
    ...told,
    clock,
    authority,
    copy,
    hooks,
    mirror,
    member,
    join,
    repo: authority.at({ epoch, pending: true, onWrite: mirror.notice }),
    unnoticed: authority.at({ epoch, pending: true }),
  };
}

export const RETENTION_MS = 7 * 86_400_000;

/** As one more instance works, batch by batch. */
export function passOf({
  authority,
  copy,
  clock,
  telemetry,
  member,
}: Pick<MirrorWorld, 'authority' | 'copy' | 'clock' | 'telemetry' | 'member'>): Pass {
  const [record, permit] = [member.record(), member.permitWork()];
  if (record === null || permit === null) throw new Error('no permit');
  const breaker = createBreaker({ environment: clock, settings: member.settings, onChange() {} });
  return createPass({
    ...{ environment: clock, telemetry, authority, mirror: copy },
    ...{ record, permit, breaker, noteOutage() {}, onTouch() {} },
    ...{ retentionMs: RETENTION_MS, lull: async () => {} },
  });
}

export function startMirror(
  stores: PerStore<Store | null>,
  environment: Environment,
  telemetry: Telemetry,
  member: Member,
  retentionMs = RETENTION_MS,
  traffic?: MirrorOptions['traffic'],
): Mirror {
  const options = { stores, environment, telemetry, member, retentionMs };
  const mirror = createMirror({ ...options, ...(traffic && { traffic }) });
  mirror.start();
  return mirror;
}

/** Looks the hooks up at each call, so that a test can change them. */
function relay(hooks: () => Hooks): Hooks {
  return {
    before: (operation) => hooks().before?.(operation),
    after: (operation) => hooks().after?.(operation),
  };
}

/** What the two do not agree about, marks included; empty when the mirror has converged. */
export function disagreements({
  authority,
  copy,
}: Pick<MirrorWorld, 'authority' | 'copy'>): readonly string[] {
  return ENTITIES.flatMap((entity) => {
    const ours: ReadonlyMap<string, Held<Entity>> = authority.tables[entity];
    const theirs: ReadonlyMap<string, Held<Entity>> = copy.tables[entity];
    return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((id) => {
      const problem = problemOf(ours.get(id), theirs.get(id));
      return problem === null ? [] : [`${entity} ${problem}`];
    });
  });
}

function problemOf(ours: Held<Entity> | undefined, theirs: Held<Entity> | undefined): string | null {
  if (ours === undefined) return 'only in the mirror';
  if (theirs === undefined) return 'not in the mirror';
  if (ours.pendingAt !== null) return 'still marked';
  if (theirs.pendingAt !== null) return 'marked in the mirror';
  if (compareStamps(ours.record.stamp, theirs.record.stamp) !== 0) return 'under different stamps';
  return isSameContent<Entity>(ours.record, theirs.record) ? null : 'differs';
}

/** As another hand would: past every guard. */
export function plant<E extends Entity>(
  store: MemoryStore,
  entity: E,
  record: RecordOf[E],
  pendingAt: Date | null = null,
): void {
  const table: Map<string, Held<E>> = store.tables[entity];
  table.set(record.id, { record, pendingAt });
}
