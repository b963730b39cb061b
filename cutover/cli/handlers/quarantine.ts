/** `cutover quarantine …`. */
import { ENTITIES } from '../../../db/records.ts';
import type { Quarantined, RecordName } from '../../copy/index.ts';
import { CopyRefused } from '../../copy/types.ts';
import { UsageError } from '../parse.ts';
import { quarantineLines, retriedLines } from '../print/copy.ts';
import { printable } from '../words.ts';
import { type Bulk, withBulk } from './bulk.ts';
import { answer, type Call, type Handler } from './call.ts';

const ALL = 1_000_000;

export const list: Handler = (call) =>
  withBulk(call, async ({ copy, scope, collectionOf }) => {
    const limit = call.options.whole('limit', 50);
    const held = await copy.listQuarantine(scope, { limit });
    const documents = held.map(({ entity, id, run, reasons, putAt }) => ({
      collection: collectionOf(entity),
      id,
      run,
      reasons: reasons.map(({ field, reason }) => ({ field, reason })),
      putAt: putAt.toISOString(),
    }));
    return answer('quarantine', documents.length > 0 ? 'difference' : 'done', { documents }, (style) =>
      quarantineLines(documents, limit, style),
    );
  });

export const retry: Handler = (call) =>
  withBulk(call, async (bulk) => {
    const { copy, scope, collectionOf } = bulk;
    const name = call.words[0] === undefined ? undefined : await nameOf(bulk, call.words[0]);
    const { moved, gone, stillBad } = await copy.retryQuarantine(scope, name);
    const body = {
      moved: moved.map(({ entity, id }) => ({ collection: collectionOf(entity), id })),
      gone: gone.map(({ entity, id }) => ({ collection: collectionOf(entity), id })),
      stillBad: stillBad.map(({ entity, id, fields }) => ({ collection: collectionOf(entity), id, fields })),
    };
    return answer('quarantineRetried', stillBad.length > 0 ? 'difference' : 'done', body, (style) =>
      retriedLines(body, style),
    );
  });

export const accept: Handler = (call) => resolve(call, 'accept');
export const drop: Handler = (call) => resolve(call, 'drop');

function resolve(call: Call, verb: 'accept' | 'drop') {
  const reason = call.options.text('reason')?.trim() ?? '';
  if (reason === '') throw new UsageError('--reason R is needed: it is recorded', call.verb);
  return withBulk(call, async (bulk) => {
    const { copy, scope, collectionOf } = bulk;
    // Decided like this already: what a killed process has left of it is done.
    const states = ['held', verb === 'accept' ? 'accepted' : 'dropped'] as const;
    const { entity, id } = await nameOf(bulk, call.words[0] ?? '', states);
    if (!(await copy.resolveQuarantine(scope, { entity, id, verb, reason }))) throw notHeld(id);
    const body = { collection: collectionOf(entity), id, reason };
    const done = verb === 'accept' ? 'accepted: it stays behind' : 'dropped: what was put aside is forgotten';
    return answer('quarantineResolved', 'done', body, (style) => [
      `${body.collection}/${printable(id)}: ${style.good(done)}`,
    ]);
  });
}

/** `COLLECTION/ID`, or the id alone where it is there once, in the first of these states that has any. */
async function nameOf(
  { copy, scope, collectionOf }: Bulk,
  word: string,
  states: readonly Quarantined['state'][] = ['held'],
): Promise<RecordName> {
  const entity = ENTITIES.find((each) => word.startsWith(`${collectionOf(each)}/`));
  let found: readonly Quarantined[] = [];
  for (const state of states) {
    if (found.length > 0) break;
    found = (await copy.listQuarantine(scope, { state, limit: ALL })).filter((each) =>
      entity === undefined
        ? each.id === word
        : each.entity === entity && each.id === word.slice(collectionOf(entity).length + 1),
    );
  }
  const [only, second] = found;
  if (only === undefined) throw notHeld(word);
  if (second !== undefined) {
    const names = found.map((each) => `${collectionOf(each.entity)}/${each.id}`).join(', ');
    throw new CopyRefused('unknown-state', `there are several of this id: ${printable(names)}`);
  }
  return { entity: only.entity, id: only.id };
}

const notHeld = (id: string): CopyRefused =>
  new CopyRefused('not-held', `${printable(id)} is not in quarantine`);
