/** The verbs that only list: `pending`, `conflicts`, `diffs`, `foreign`, `log`. */
import * as operator from '../../operator/index.ts';
import type { Incomplete, LogLine, NoteLine } from '../../operator/types.ts';
import { logLines, noteLines, pendingLines } from '../print/lists.ts';
import { type Answer, answer, awayNotice, type Call, type Handler, unlessInterrupted } from './call.ts';

const LIMIT = 50;

const limitOf = ({ options }: Call) => ({ limit: options.whole('limit', LIMIT) });

export const pending: Handler = async (call) => {
  const asked = Promise.all([
    operator.pending(call.context, limitOf(call)),
    operator.poisoned(call.context, limitOf(call)),
  ]);
  const [result, poisoned] = await unlessInterrupted(asked, call.interrupted);
  const bad = poisoned.length > 0 || (result.orphans?.count ?? 0) > 0;
  const { authority, orphans, missing } = result;
  const body = { authority, orphans, poisoned: poisoned.map(noteBody) };
  const seen = answer('pending', bad ? 'difference' : 'done', body, (style) =>
    pendingLines(result, poisoned, limitOf(call).limit, style),
  );
  return orIncomplete(seen, missing, call);
};

export const conflicts: Handler = async (call) => {
  const notes = await unlessInterrupted(operator.conflicts(call.context, limitOf(call)), call.interrupted);
  const body = { conflicts: notes.map(noteBody) };
  return answer('conflicts', notes.length > 0 ? 'difference' : 'done', body, (style) =>
    noteLines('conflicts', notes, limitOf(call).limit, style),
  );
};

export const diffs: Handler = async (call) => {
  const notes = await unlessInterrupted(operator.differences(call.context, limitOf(call)), call.interrupted);
  const body = { differences: notes.map(noteBody) };
  return answer('diffs', notes.length > 0 ? 'difference' : 'done', body, (style) =>
    noteLines('differences', notes, limitOf(call).limit, style),
  );
};

export const foreign: Handler = async (call) => {
  const asked = operator.foreign(call.context, limitOf(call));
  const { notes, missing } = await unlessInterrupted(asked, call.interrupted);
  const body = { writes: notes.map(noteBody) };
  const seen = answer('foreign', notes.length > 0 ? 'difference' : 'done', body, (style) =>
    noteLines('foreign writes', notes, limitOf(call).limit, style),
  );
  return orIncomplete(seen, missing, call);
};

export const log: Handler = async (call) => {
  const asked = operator.log(call.context, limitOf(call));
  const { lines, missing } = await unlessInterrupted(asked, call.interrupted);
  return orIncomplete(
    answer('log', 'done', { events: lines.map(eventBody) }, () => logLines(lines)),
    missing,
    call,
  );
};

/** What is shown is true, and not all of it: whoever asks must not take it for none. */
const orIncomplete = (seen: Answer, missing: Incomplete['missing'], { context }: Call): Answer =>
  missing === null
    ? seen
    : { ...seen, outcome: 'unreachable', notice: `this is not all: ${awayNotice([missing], context)}` };

const noteBody = ({ key, body, firstAt, lastAt, times }: NoteLine) => ({
  key,
  body,
  firstAt: firstAt.toISOString(),
  lastAt: lastAt.toISOString(),
  times,
});

/** Field by field: another version's entry may have more of them. */
const eventBody = ({ at, id, event: { kind, mode, epoch, revision, details } }: LogLine) => ({
  at: at.toISOString(),
  id,
  kind,
  mode,
  epoch,
  revision,
  details,
});
