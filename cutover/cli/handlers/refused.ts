/** What a verb refused by an error of its own leaves in the event log, as those do that judge by gates. */
import { logEvent } from '../../event-log.ts';
import { attempt, readStanding } from '../../operator/situation.ts';
import type { Call } from './call.ts';

/** Where there is an authority to ask: that nobody could be told changes nothing about the refusal. */
export async function logRefused(
  { context, verb }: Pick<Call, 'context' | 'verb'>,
  reason: string,
): Promise<void> {
  await attempt(async () => {
    const { authority, record } = await readStanding(context);
    await logEvent(context, authority, 'refused', record, { verb, reason });
  });
}
