import { changeControl } from '../control.ts';
import { mirrorOf } from '../mode.ts';
import type { Setting } from '../protocol/types.ts';
import { isSettingKey, parseSetting, SETTINGS, type SettingKey, settingsOf } from '../settings.ts';
import { copyTo } from './copy.ts';
import { logEvent } from './events.ts';
import { readStanding, type Standing, summarize } from './situation.ts';
import type { OperatorContext, SetResult } from './types.ts';

/** A failover counts out leases by the mirror's copy of these, since the rows are lost with the authority. */
const NEEDED_AT_FAILOVER: readonly SettingKey[] = ['lease-ms', 'margin-ms'];

/** Writes a setting into the control record; every instance follows within one poll. Throws `RangeError`. */
export async function setSetting(context: OperatorContext, key: string, value: string): Promise<SetResult> {
  if (!isSettingKey(key)) throw new RangeError(`${key} is no setting: ${Object.keys(SETTINGS).join(', ')}`);
  const parsed = parseSetting(key, value);
  const standing = await readStanding(context);
  const before = await summarize(context, standing);
  const was = settingsOf(standing.record)[key];
  const reason = reasonAgainst(standing, key, parsed);
  if (reason !== null) {
    return { kind: 'refused', before, after: before, reasons: [reason], key, was, is: was };
  }
  const { record } = await changeControl(standing.authority, { kind: 'set', key, value: parsed });
  const copied = standing.other === null ? false : await copyTo(standing.other, record);
  const details = { key, was, is: parsed };
  await logEvent(context, standing.authority, 'set', record, details);
  const after = await summarize(context, { ...standing, record });
  const reasons =
    copied || mirrorOf(record.mode) === null ? [] : ['the mirror’s record could not be told yet'];
  return { kind: 'done', before, after, reasons, key, was, is: settingsOf(record)[key] };
}

function reasonAgainst({ record, other }: Standing, key: SettingKey, value: Setting): string | null {
  const next = { ...settingsOf(record), [key]: value };
  if (next['lease-ms'] < 2 * next['heartbeat-ms']) return 'lease-ms must be at least twice heartbeat-ms';
  if (next['deadline-ms'] <= next['fence-max-ms']) return 'deadline-ms must be above fence-max-ms';
  if (NEEDED_AT_FAILOVER.includes(key) && other === null && record.mode === 'postgres-primary') {
    return `${key} can only be set while MongoDB answers: a failover would count by its copy`;
  }
  return null;
}
