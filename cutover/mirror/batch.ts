/**
 * One batch: read in the authority what is to be mirrored, apply it, take the marks off what the mirror now holds
 * exactly, and see to each of the others by itself.
 */
import { StaleEpoch, UnfaithfulWrite } from '../../db/errors.ts';
import type { Entity, RecordOf } from '../../db/records.ts';
import type { ApplyOutcome, Held } from '../../db/replica.ts';
import { applyRecords, clear, isMirrored } from './apply.ts';
import { resolveClash } from './clash.ts';
import { bringSessions, leave } from './left-behind.ts';
import type { Pass } from './pass.ts';
import { repairAhead, repairDiffering } from './repair.ts';
import { AGAIN, DONE, LATER, LEFT, type Verdict } from './verdict.ts';

export type Verdicts = ReadonlyMap<string, Verdict>;

/** Throws `StoreUnavailable`, `StaleEpoch` or `PermitEnded`: the whole batch is then to be tried again. */
export async function mirrorBatch<E extends Entity>(
  pass: Pass,
  entity: E,
  ids: readonly string[],
): Promise<Verdicts> {
  const verdicts = new Map<string, Verdict>();
  const looked = await pass.authority.replica.read(entity, ids);
  const marked: Held<E>[] = [];
  for (const id of ids) {
    const held = looked.found.get(id);
    if (held !== undefined && held.pendingAt !== null) marked.push(held);
    // What is not there any more was purged, and what is not marked has been mirrored: neither needs anything.
    else verdicts.set(id, DONE);
  }
  for (const id of looked.unreadable) {
    verdicts.set(id, { kind: 'poison', reason: 'unreadable', stamp: null });
  }
  for (const [id, verdict] of await applyHeld(pass, entity, marked)) verdicts.set(id, verdict);
  return verdicts;
}

async function applyHeld<E extends Entity>(
  pass: Pass,
  entity: E,
  batch: readonly Held<E>[],
): Promise<Verdicts> {
  const verdicts = new Map<string, Verdict>();
  if (batch.length === 0) return verdicts;
  const outcomes = await applyRecords(
    pass,
    entity,
    batch.map(({ record }) => record),
  );
  const judged = batch.map((held, index) => ({
    held,
    outcome: outcomes[index] ?? ({ kind: 'refused', reason: 'no-outcome' } as const),
  }));
  const taken = judged.filter(({ outcome }) => isMirrored(outcome)).map(({ held }) => held);
  const waiting =
    entity === 'user'
      ? await bringSessions(
          pass,
          taken.map(({ record: { id } }) => id),
        )
      : new Set<string>();
  const mirrored = taken.filter(({ record }) => !waiting.has(record.id));
  await clear(pass, entity, mirrored);
  for (const { record } of mirrored) verdicts.set(record.id, DONE);
  for (const id of waiting) verdicts.set(id, LATER);

  const userless = judged.filter(({ outcome }) => outcome.kind === 'user-missing').map(({ held }) => held);
  if (userless.length > 0) {
    for (const [id, verdict] of await takeUsersAlong(pass, entity, userless)) verdicts.set(id, verdict);
  }
  for (const { held, outcome } of judged) {
    if (verdicts.has(held.record.id)) continue;
    verdicts.set(held.record.id, await seeTo(pass, entity, held, outcome));
  }
  const refused = batch.filter(({ record: { id } }) => verdicts.get(id)?.kind === 'poison');
  for (const id of await leave(pass, entity, refused)) verdicts.set(id, LEFT);
  return verdicts;
}

/** One record that the mirror did not simply take. What cannot be touched, by a document of the old service's, is no outage. */
async function seeTo<E extends Entity>(
  pass: Pass,
  entity: E,
  held: Held<E>,
  outcome: ApplyOutcome,
): Promise<Verdict> {
  try {
    return await resolve(pass, entity, held, outcome);
  } catch (error) {
    if (!(error instanceof UnfaithfulWrite)) throw error;
    return { kind: 'poison', reason: error.told, stamp: held.record.stamp };
  }
}

async function resolve<E extends Entity>(
  pass: Pass,
  entity: E,
  held: Held<E>,
  outcome: ApplyOutcome,
): Promise<Verdict> {
  const { record } = held;
  switch (outcome.kind) {
    case 'applied':
    case 'same':
    case 'expired':
      return DONE;
    case 'differs':
      return repairDiffering(pass, entity, record);
    case 'ahead':
      return repairAhead(pass, entity, record.id, outcome.stored);
    case 'clash':
      return resolveClash(pass, record.id, outcome.holderId);
    case 'user-missing':
      return LATER;
    case 'refused':
      // Written under a later authority than the one this instance acts for.
      if (record.stamp.epoch > pass.epoch) throw new StaleEpoch(record.stamp.epoch, pass.epoch);
      return { kind: 'poison', reason: outcome.reason, stamp: record.stamp };
  }
}

/** Sessions whose users the mirror lacks, such as those of a legacy user before the copy: the users go first. */
async function takeUsersAlong<E extends Entity>(
  pass: Pass,
  entity: E,
  sessions: readonly Held<E>[],
): Promise<Verdicts> {
  const verdicts = new Map<string, Verdict>();
  const userIds = [...new Set(sessions.map(({ record }) => userIdOf(record)))];
  const { found } = await pass.authority.replica.read('user', userIds);
  const users = await applyHeld(pass, 'user', [...found.values()]);
  const ready: Held<E>[] = [];
  for (const held of sessions) {
    const { id, stamp } = held.record;
    const user = users.get(userIdOf(held.record));
    if (user?.kind === 'done') ready.push(held);
    else if (user?.kind === 'again' || user?.kind === 'later') verdicts.set(id, LATER);
    // Absent, unreadable, refused, in conflict or left behind: named for itself where that is so.
    else verdicts.set(id, { kind: 'poison', reason: 'user-missing', stamp });
  }
  if (ready.length === 0) return verdicts;
  const outcomes = await applyRecords(
    pass,
    entity,
    ready.map(({ record }) => record),
  );
  const mirrored = ready.filter((_, index) => {
    const outcome = outcomes[index];
    return outcome !== undefined && isMirrored(outcome);
  });
  await clear(pass, entity, mirrored);
  for (const { record } of ready) verdicts.set(record.id, AGAIN);
  for (const { record } of mirrored) verdicts.set(record.id, DONE);
  return verdicts;
}

const userIdOf = (record: RecordOf[Entity]): string => ('userId' in record ? record.userId : '');
