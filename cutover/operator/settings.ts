import { WrongArgument } from '../argument.ts';
import { changeControl } from '../control.ts';
import { logEvent } from '../event-log.ts';
import { mirrorOf } from '../mode.ts';
import { contradictionOf, isSettingKey, parseSetting, type SettingKey, settingsOf } from '../settings.ts';
import { copyTo } from '../telling.ts';
import { LOST_COPY, whyRefused } from '../words.ts';
import { attempt, readStanding, summarize } from './situation.ts';
import type { OperatorContext, SetResult } from './types.ts';

/** A failover counts out leases by the mirror's copy of these, since the rows are lost with the authority. */
const NEEDED_AT_FAILOVER: readonly SettingKey[] = ['lease-ms', 'margin-ms'];

/** Writes a setting into the control record; every instance follows within one poll. Throws `WrongArgument`. */
export async function setSetting(context: OperatorContext, key: string, value: string): Promise<SetResult> {
  if (!isSettingKey(key)) throw new WrongArgument(`${key} is no setting: \`cutover set\` lists them all`);
  const parsed = parseSetting(key, value, context.environment.date());
  const standing = await readStanding(context);
  const before = await summarize(context, standing);
  const was = settingsOf(standing.record)[key];
  const refuse = async (reason: string): Promise<SetResult> => {
    await logEvent(context, standing.authority, 'refused', standing.record, { verb: 'set', key, reason });
    return { kind: 'refused', before, after: before, reasons: [reason], key, was, is: was };
  };
  const isTold = standing.other !== null || standing.record.mode !== 'postgres-primary';
  if (NEEDED_AT_FAILOVER.includes(key) && !isTold) {
    return refuse(`${key} can only be set while MongoDB answers: a failover would count by its copy`);
  }
  const change = { kind: 'set', key, value: parsed, seen: standing.record } as const;
  const decision = await changeControl(standing.authority, change);
  if (decision.kind === 'refused') {
    const { reason } = decision;
    const rule = reason === 'contradiction' ? contradictionOf(decision.record, key, parsed) : null;
    return refuse(rule ?? whyRefused(reason, decision.record));
  }
  const { record } = decision;
  const copied = standing.other === null ? false : await copyTo(context, standing.authority, standing.other);
  const details = { key, was, is: parsed };
  await logEvent(context, standing.authority, 'set', record, details);
  // Telling the other store may have shown that it has lost the copy.
  const now = await attempt(() => readStanding(context));
  const after = await summarize(context, now ?? { ...standing, record });
  const hasLost = record.copy.kind === 'complete' && after.copy.kind === 'stale';
  const reasons = [
    ...(copied || mirrorOf(record.mode) === null ? [] : ['the mirror’s record could not be told yet']),
    ...(hasLost && after.mode === record.mode ? [LOST_COPY] : []),
  ];
  return { kind: 'done', before, after, reasons, key, was, is: settingsOf(record)[key] };
}
