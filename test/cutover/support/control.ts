/** Changes of a control record as somebody makes them who has just looked at it. */
import { changeControl, missingControl, readControl } from '../../../cutover/control.ts';
import type { Mode } from '../../../cutover/mode.ts';
import type { ChangeDecision } from '../../../cutover/protocol/changes.ts';
import type { ControlRecord, Setting, Transition } from '../../../cutover/protocol/types.ts';
import type { Store } from '../../../db/port.ts';

export async function recordOf(store: Store): Promise<ControlRecord> {
  const record = await readControl(store);
  if (record === null) throw missingControl(store.name);
  return record;
}

export async function announce(store: Store, transition: Transition): Promise<ChangeDecision> {
  return changeControl(store, { kind: 'announce', transition, judged: await recordOf(store) });
}

let moves = 0;

export async function moveMode(store: Store, to: Mode, nowMs = Date.now()): Promise<ChangeDecision> {
  moves += 1;
  return changeControl(store, {
    kind: 'move',
    id: `move-${moves}`,
    to,
    nowMs,
    judged: await recordOf(store),
  });
}

export async function setIn(store: Store, key: string, value: Setting): Promise<ChangeDecision> {
  return changeControl(store, { kind: 'set', key, value, seen: await recordOf(store) });
}
