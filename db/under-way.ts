import { setImmediate } from 'node:timers/promises';

/**
 * Lets a request leave before its caller works on something else: drivers send it a tick later, and work that does not
 * pause would be over before the server has even heard of it. Nobody has to await the answer.
 */
export async function underWay<T>(answer: Promise<T>): Promise<() => Promise<T>> {
  // Whoever asks for the answer learns of the failure; nobody may.
  answer.catch(() => {});
  await setImmediate();
  return () => answer;
}
