/** From staging into the live tables, step by step; each may be made again, so that a run can go on anywhere. */
import { StoreUnavailable } from '../../db/errors.ts';
import type { Store } from '../../db/port.ts';
import { mergeStep, stretchesOf } from '../../db/postgres/copy/merge.ts';
import type { Entity } from '../../db/records.ts';
import type { Pace } from './pace.ts';
import type { CopyScope } from './types.ts';

/** A transaction each: what is in its way waits for so much at most. */
const STEP_ROWS = 10_000;
/** Sessions after the users they belong to. */
const ORDER: readonly (readonly Entity[])[] = [['user'], ['session', 'verificationToken', 'resetToken']];
const ATTEMPTS_MAX = 20;
const RETRY_MS = 100;
/** Records of the authority that are looked at together. */
const READ_MAX = 200;

export interface Merged {
  readonly deferred: number;
  readonly dangling: number;
}

export interface MergeStaged {
  readonly run: string;
  readonly epoch: number;
  readonly pace: Pace;
  /** Steps at once. */
  readonly jobs: number;
}

/** Throws `StaleEpoch` when authority has moved, `CopyRefused` when it is to stop. */
export async function mergeStaged(
  scope: CopyScope,
  authority: Store,
  { run, epoch, pace, jobs }: MergeStaged,
): Promise<Merged> {
  let [deferred, dangling] = [0, 0];
  for (const entities of ORDER) {
    const each = entities.map((entity) => again(scope, () => stretchesOf(scope.postgres, entity, STEP_ROWS)));
    const stretches = (await Promise.all(each)).flat().values();
    const work = async (): Promise<void> => {
      for (const stretch of stretches) {
        if (await pace.wait()) throw pace.stopped(`resume run ${run}`);
        const step = await again(scope, () => mergeStep(scope.postgres, stretch, { run, epoch }));
        const left = await defer(authority, stretch.entity, step.deferred, epoch);
        deferred += left.deferred;
        dangling += left.dangling;
        await pace.take(step.inserted + step.updated);
      }
    };
    const crew = await Promise.allSettled(Array.from({ length: jobs }, work));
    for (const each of crew) if (each.status === 'rejected') throw each.reason;
  }
  return { deferred, dangling };
}

/** Tries once more what another transaction was in the way of. */
export async function again<T>({ environment }: CopyScope, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      // A clash that came up between the statements of a step shows as a refused one, and is seen the next time.
      const mayPass = error instanceof StoreUnavailable || (error as Error).name === 'EmailTaken';
      if (!mayPass || attempt === ATTEMPTS_MAX) throw error;
      await environment.sleep(RETRY_MS * attempt);
    }
  }
}

/** What the merge had to leave is touched in the authority, unless it is marked: the mirror knows how to resolve a clash. */
async function defer(
  authority: Store,
  entity: Entity,
  ids: readonly string[],
  epoch: number,
): Promise<Merged> {
  let [deferred, dangling] = [0, 0];
  for (let from = 0; from < ids.length; from += READ_MAX) {
    const part = await deferBatch(authority, entity, ids.slice(from, from + READ_MAX), epoch);
    deferred += part.deferred;
    dangling += part.dangling;
  }
  return { deferred, dangling };
}

async function deferBatch(
  authority: Store,
  entity: Entity,
  ids: readonly string[],
  epoch: number,
): Promise<Merged> {
  let [deferred, dangling] = [0, 0];
  const { found } = await authority.replica.read(entity, ids);
  for (const [id, held] of found) {
    if ('rotation' in held.record && !(await holds(authority, held.record.userId))) {
      dangling += 1;
      continue;
    }
    deferred += 1;
    if (held.pendingAt !== null) continue;
    const { stamp } = held.record;
    // A write that came between has marked it itself.
    await authority.replica.touch(entity, id, { expected: stamp, to: { epoch, version: stamp.version + 1 } });
  }
  return { deferred, dangling };
}

async function holds(authority: Store, userId: string): Promise<boolean> {
  return (await authority.replica.read('user', [userId])).found.has(userId);
}
