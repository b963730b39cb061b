import { describe, expect, it } from 'vitest';
import { MODES } from '../../cutover/mode.ts';
import type { ControlRecord } from '../../cutover/protocol/types.ts';
import { decideStart, type Reading } from '../../cutover/startup.ts';

const NOW_MS = 1_000;
const absent: Reading = { kind: 'not-configured' };
const silent: Reading = { kind: 'unreachable' };
const empty: Reading = { kind: 'read', record: null, holdsUsers: false };
const full: Reading = { kind: 'read', record: null, holdsUsers: true };
const record: ControlRecord = {
  mode: 'postgres-primary',
  revision: 9,
  epoch: 2,
  transition: null,
  changedBy: 't',
  copy: { kind: 'none' },
  settings: {},
};
const recorded: Reading = { kind: 'read', record, holdsUsers: true };

const copyOf = (decision: ReturnType<typeof decideStart>) =>
  decision.kind === 'create' ? decision.record.copy.kind : decision.kind;

describe('what a process starts in', () => {
  it.each(MODES)('a record counts, whatever the configuration says: %s', (mode) => {
    expect(decideStart(mode, { mongo: recorded, postgres: silent }, NOW_MS, 'new').kind).toBe('follow');
    expect(decideStart(mode, { mongo: silent, postgres: recorded }, NOW_MS, 'new').kind).toBe('follow');
    expect(decideStart(mode, { mongo: absent, postgres: recorded }, NOW_MS, 'new').kind).toBe('follow');
  });

  it('a new system begins in the configured mode, once every configured store was asked', () => {
    expect(decideStart('mongo-only', { mongo: full, postgres: absent }, NOW_MS, 'new')).toEqual({
      kind: 'create',
      record: {
        ...record,
        mode: 'mongo-only',
        revision: 1,
        epoch: 1,
        changedBy: null,
        system: 'new',
        copy: { kind: 'none' },
      },
    });
    expect(decideStart('postgres-only', { mongo: absent, postgres: full }, NOW_MS, 'new').kind).toBe(
      'create',
    );
    expect(decideStart('mongo-only', { mongo: full, postgres: silent }, NOW_MS, 'new').kind).toBe('wait');
    expect(decideStart('mongo-only', { mongo: silent, postgres: absent }, NOW_MS, 'new').kind).toBe('wait');
  });

  it('the copy is complete only when a mirror began with both stores empty', () => {
    expect(copyOf(decideStart('dual-write', { mongo: empty, postgres: empty }, NOW_MS, 'new'))).toBe(
      'complete',
    );
    expect(copyOf(decideStart('postgres-primary', { mongo: empty, postgres: empty }, NOW_MS, 'new'))).toBe(
      'complete',
    );
    expect(copyOf(decideStart('dual-write', { mongo: full, postgres: empty }, NOW_MS, 'new'))).toBe('none');
    expect(copyOf(decideStart('mongo-only', { mongo: empty, postgres: empty }, NOW_MS, 'new'))).toBe('none');
  });

  it.each([
    ['postgres-only', full, empty],
    ['postgres-primary', full, empty],
    ['shadow-read', full, empty],
    ['dual-write', full, full],
    ['mongo-only', full, full],
  ] as const)('%s is refused beside users that it would not know of', (mode, mongo, postgres) => {
    expect(decideStart(mode, { mongo, postgres }, NOW_MS, 'new').kind).toBe('refuse');
  });

  it('a stale mode without its store is not judged before the other store has said whether it counts', () => {
    expect(decideStart('mongo-only', { mongo: absent, postgres: silent }, NOW_MS, 'new').kind).toBe('wait');
    expect(decideStart('mongo-only', { mongo: absent, postgres: recorded }, NOW_MS, 'new').kind).toBe(
      'follow',
    );
    expect(decideStart('mongo-only', { mongo: absent, postgres: empty }, NOW_MS, 'new').kind).toBe('refuse');
  });

  it('nothing is begun beside a record that cannot be read', () => {
    const unreadable: Reading = { kind: 'unreadable', reason: 'damaged', epoch: null };
    const [mongo, postgres] = [empty, unreadable];
    expect(decideStart('mongo-only', { mongo, postgres }, NOW_MS, 'new')).toEqual({
      kind: 'wait',
      reason: 'damaged',
    });
    expect(decideStart('mongo-only', { mongo: absent, postgres }, NOW_MS, 'new').kind).toBe('wait');
  });

  it.each(MODES)('%s without its stores is refused', (mode) => {
    expect(decideStart(mode, { mongo: absent, postgres: absent }, NOW_MS, 'new').kind).toBe('refuse');
  });
});
